"""Scores of a split with copies of images equal those that the evaluators give for the copies."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.claims.overlapped import overlapped_recall
from benchmarks.claims.resampled import scorer

from tests.benchmarks.claims.made_up import ONE_CLASS, TWO_CLASSES, detections, random_crowd, repeated, sample
from uncrowd.evaluation.coco import CocoEvaluator
from uncrowd.evaluation.crowdhuman import CrowdHumanEvaluator
from uncrowd.structures import Categories, Detections, ImageId


@pytest.mark.parametrize("categories", [ONE_CLASS, TWO_CLASSES])
@pytest.mark.parametrize("seed", range(3))
def test_copies_score_what_the_evaluators_say(categories: Categories, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples, found = random_crowd(rng, 10, categories, levels=10**6)
    score = scorer(samples, found, categories, ious=(0.5,), threshold=0.5)
    for drawn in (np.ones(10, dtype=np.int64), *rng.multinomial(10, [0.1] * 10, size=3)):
        copied, theirs = repeated(samples, found, drawn.tolist())
        coco = CocoEvaluator().evaluate(copied, theirs, categories).values
        expected = {name: coco[name] for name in ("AP", "AP50", "AP75")}
        if len(categories) == 1:
            crowd = dict(CrowdHumanEvaluator().evaluate(copied, theirs, categories).values)
            expected |= {"crowd AP": crowd.pop("AP")} | crowd
        overlapped = overlapped_recall(copied, theirs, iou=0.5)
        expected["found at 0.5"] = sum(overlapped.found[3:]) / (sum(overlapped.objects[3:]) or np.nan)
        expected["duplicates at 0.5"] = sum(overlapped.duplicates) / sum(overlapped.objects)
        scored = score(drawn)
        assert {name: scored[name] for name in expected} == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_the_split_itself_has_the_scores_of_the_evaluator_also_where_scores_are_equal() -> None:
    samples, found = random_crowd(np.random.default_rng(3), 30, ONE_CLASS, levels=12)
    scored = scorer(samples, found, ONE_CLASS, ious=(), threshold=None)(np.ones(30, dtype=np.int64))
    assert scored["AP"] == pytest.approx(CocoEvaluator().evaluate(samples, found, ONE_CLASS).values["AP"], abs=1e-12)


def test_without_objects_nothing_is_defined_and_without_detections_scores_are_zero() -> None:
    empty, one = sample(0, []), sample(1, [(0, 0, 10, 10)])
    score = scorer([empty, one], {}, ONE_CLASS, ious=(0.5,), threshold=0.5)
    nothing = score(np.array([2, 0]))
    assert np.isnan([nothing[name] for name in ("AP", "AP50", "crowd AP", "mMR", "found at 0.5", "count total")]).all()
    missed = score(np.array([0, 2]))
    assert (missed["AP"], missed["crowd AP"], missed["mMR"], missed["JI"]) == (0, 0, 1, 0)
    assert (missed["count MAE"], missed["count bias"], missed["count total"]) == (1, -1, 1)


def test_counts_are_those_above_the_threshold_that_are_not_on_ignored_ground_truth() -> None:
    """One of three objects is not counted in the first image, and one is counted in the second that is not there."""
    boxes = [(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)]
    samples = [sample(0, boxes), sample(1, boxes[:1], ignore=[True])]
    found: dict[ImageId, Detections] = {
        0: detections(boxes, [0.9, 0.5, 0.4], categories=ONE_CLASS),
        1: detections(boxes[:2], [0.7, 0.6], categories=ONE_CLASS),
    }
    scored = scorer(samples, found, ONE_CLASS, ious=(), threshold=0.5)(np.array([2, 1]))
    assert (scored["count MAE"], scored["count total"]) == (1, 3 / 6)
    assert scored["count bias"] == pytest.approx(-1 / 3)
    assert np.isnan(scorer(samples, found, ONE_CLASS, ious=(), threshold=None)(np.array([2, 1]))["count MAE"])


def test_a_dog_that_is_counted_as_a_person_is_two_errors() -> None:
    image = sample(0, [(0, 0, 10, 10)], labels=[1])
    found: dict[ImageId, Detections] = {0: detections([(0, 0, 10, 10)], [0.9], [0], TWO_CLASSES)}
    scored = scorer([image], found, TWO_CLASSES, ious=(), threshold=0.5)(np.array([1]))
    assert (scored["count MAE"], scored["count bias"]) == (2, 0)


def test_recall_of_overlapped_objects_is_that_of_pairs_above_half() -> None:
    pair = sample(0, [(0, 0, 40, 10), (10, 0, 50, 10), (80, 0, 90, 10)])
    best: dict[ImageId, Detections] = {
        0: detections([(0, 0, 40, 10), (80, 0, 90, 10)], [0.9, 0.8], categories=ONE_CLASS)
    }
    score = scorer([pair, replace(pair, id=1)], best, ONE_CLASS, ious=(0.5,), threshold=0.5)
    assert [score(np.array(drawn))["found at 0.5"] for drawn in ([1, 1], [1, 0], [0, 1])] == [0.25, 0.5, 0]
