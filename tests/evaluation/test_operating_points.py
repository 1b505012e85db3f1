"""One matching gives precision and recall at every score threshold, and the suggested threshold has the highest F1."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from uncrowd.errors import InputError
from uncrowd.evaluation.coco import rank_images
from uncrowd.evaluation.counting import counting_errors
from uncrowd.evaluation.matching import match_image
from uncrowd.evaluation.operating_points import ENOUGH, THRESHOLDS, best_thresholds, operating_curve
from uncrowd.structures import Categories, Detections, Sample

CATEGORIES = Categories(ids=(5, 9), names=("person", "dog"))
PERSON, DOG = 0, 1


def make_sample(boxes, labels=None, ignore=None, id: int = 1) -> Sample:
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    n = len(corners)
    return Sample(
        id=id,
        path=Path("unused.jpg"),
        size=(200, 200),
        boxes=corners,
        labels=np.array(labels if labels is not None else [PERSON] * n, dtype=np.int64),
        ignore=np.array(ignore if ignore is not None else [False] * n, dtype=bool),
        areas=(corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]),
    )


def make_detections(boxes, scores, labels=None) -> Detections:
    return Detections(
        boxes=torch.tensor(np.asarray(boxes, dtype=np.float32).reshape(-1, 4)),
        scores=torch.tensor(scores, dtype=torch.float32),
        labels=torch.tensor(labels if labels is not None else [PERSON] * len(scores), dtype=torch.int64),
        categories=CATEGORIES,
    )


def test_the_detection_with_the_highest_score_takes_the_object_and_the_next_is_wrong() -> None:
    sample = make_sample([[0, 0, 100, 100]])
    match = match_image(sample, make_detections([[0, 0, 100, 90], [0, 0, 100, 100]], [0.9, 0.8]))
    assert match.right.tolist() == [True, False]
    assert match.found.tolist() == [True]


def test_an_object_of_another_class_is_not_found() -> None:
    match = match_image(make_sample([[0, 0, 50, 50]], [DOG]), make_detections([[0, 0, 50, 50]], [0.9], [PERSON]))
    assert not match.right.any()
    assert not match.found.any()


def test_any_number_of_detections_may_lie_on_ignored_ground_truth() -> None:
    crowd = make_sample([[0, 0, 200, 200]], ignore=[True])
    # The first two lie fully on it, though with a small IoU; the last is mostly outside.
    match = match_image(crowd, make_detections([[0, 0, 20, 20], [50, 50, 70, 90], [190, 0, 300, 50]], [0.9, 0.8, 0.7]))
    assert match.ignored.tolist() == [True, True, False]
    assert not match.right.any()
    assert not match.found.any()


def test_the_suggested_threshold_keeps_right_and_drops_wrong_detections() -> None:
    sample = make_sample([[0, 0, 50, 50], [100, 100, 150, 150]])
    found = make_detections([[0, 0, 50, 50], [100, 100, 150, 150], [60, 0, 90, 30]], [0.8, 0.6, 0.3])
    best = operating_curve([sample], {1: found}, CATEGORIES).best
    assert best is not None
    assert (best.precision, best.recall, best.f1) == (1, 1, 1)
    assert best.threshold == pytest.approx(0.45, abs=0.002)  # the middle one of all between 0.3 and 0.6


def test_the_suggested_threshold_accepts_a_mistake_if_that_raises_f1() -> None:
    sample = make_sample([[0, 0, 50, 50], [100, 100, 150, 150]])
    found = make_detections([[0, 0, 50, 50], [60, 0, 90, 30], [100, 100, 150, 150]], [0.8, 0.5, 0.2])
    best = operating_curve([sample], {1: found}, CATEGORIES).best
    assert best is not None
    assert best.threshold < 0.2  # F1 is 2/3 with one detection and 4/5 with three
    assert (best.precision, best.recall, best.f1) == pytest.approx((2 / 3, 1, 4 / 5))


@pytest.mark.parametrize(
    ("boxes", "detected"),
    [([], []), ([[0, 0, 50, 50]], []), ([], [[0, 0, 50, 50]]), ([[0, 0, 50, 50]], [[60, 60, 90, 90]])],
    ids=["nothing at all", "no detections", "no objects", "only wrong"],
)
def test_without_a_right_detection_no_threshold_is_suggested(boxes, detected) -> None:
    curve = operating_curve(
        [make_sample(boxes)], {1: make_detections(detected, [0.5] * len(detected))} if detected else {}, CATEGORIES
    )
    assert curve.best is None
    assert (curve.f1 == 0).all()
    assert np.isnan(curve.recall).all() == (not boxes)


def test_detections_of_other_images_are_refused() -> None:
    with pytest.raises(InputError, match="has the id 2"):
        operating_curve([make_sample([])], {2: make_detections([], [])}, CATEGORIES)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), step=st.integers(0, len(THRESHOLDS) - 1))
def test_each_point_equals_a_matching_at_that_threshold(seed: int, step: int) -> None:
    """hotcoco counts the same, given only the detections at or above the threshold."""
    rng = np.random.default_rng(seed)
    samples, detections = [], {}
    for id in range(4):
        n, m = rng.integers(0, 7, 2)
        truth = random_boxes(rng, n)
        sample = replace(make_sample(truth, rng.integers(0, 2, n), rng.random(n) < 0.2), id=id)
        near = truth + rng.normal(0, 8, truth.shape)
        boxes = np.concatenate([near, near + rng.normal(0, 8, truth.shape), random_boxes(rng, m)])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
        labels = np.concatenate([sample.labels, sample.labels, rng.integers(0, 2, m)])
        scores = rng.integers(0, 1001, len(boxes)) / 1000  # many lie on a threshold
        best_first = np.argsort(-scores, kind="stable")
        samples.append(sample)
        detections[id] = make_detections(boxes[best_first], scores[best_first], labels[best_first])
    curve = operating_curve(samples, detections, CATEGORIES)
    ranked = rank_images(samples, detections, CATEGORIES, threshold=float(THRESHOLDS[step]))
    found, wrong, missed = (sum(getattr(p, what) for p in ranked) for what in ("found", "wrong", "missed"))
    assert curve.f1[step] == pytest.approx(2 * found / max(2 * found + wrong + missed, 1))
    if found + wrong:
        assert curve.precision[step] == pytest.approx(found / (found + wrong))
    if found + missed:
        assert curve.recall[step] == pytest.approx(found / (found + missed))


def random_boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    corner = rng.uniform(0, 150, (n, 2))
    return np.concatenate([corner, corner + rng.uniform(10, 80, (n, 2))], axis=1)


def random_dataset(seed: int, images: int = 40):
    """Crowds of people and few dogs, detected with wrong boxes, missed objects and doubles."""
    rng = np.random.default_rng(seed)
    samples, detections = [], {}
    for id in range(images):
        labels = (rng.random(4) < 0.1).astype(np.int64)
        truth = random_boxes(rng, 4)
        samples.append(replace(make_sample(truth, labels), id=id))
        boxes = np.concatenate([truth + rng.normal(0, 3, truth.shape), truth, random_boxes(rng, 3)])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
        scores = np.concatenate([rng.beta(5, 2, 4), rng.beta(2, 5, 4), rng.beta(1, 5, 3)])
        best_first = np.argsort(-scores)
        labels = np.concatenate([labels, labels, rng.integers(0, 2, 3)])
        detections[id] = make_detections(boxes[best_first], scores[best_first], labels[best_first])
    return samples, detections


@pytest.mark.parametrize("seed", range(3))
def test_the_threshold_for_counts_has_the_lowest_error_of_all(seed: int) -> None:
    """It is held to counting at each threshold."""
    samples, detections = random_dataset(seed)
    curve = operating_curve(samples, detections, CATEGORIES)
    by_counting = [
        counting_errors(samples, detections, CATEGORIES, float(threshold)).overall.total_error
        for threshold in THRESHOLDS[::10]
    ]
    assert curve.counting_error[::10].tolist() == pytest.approx(by_counting)
    best = curve.best_count
    assert best is not None
    lowest = [number for number, error in zip(THRESHOLDS, curve.counting_error, strict=True) if error == best[1]]
    assert best.total_error == curve.counting_error.min()
    assert best.threshold == lowest[len(lowest) // 2], "the middle one"


def test_a_class_with_enough_objects_has_its_own_thresholds() -> None:
    samples, detections = random_dataset(0)
    people, dogs = (sum(int((sample.labels == label).sum()) for sample in samples) for label in (PERSON, DOG))
    assert people >= ENOUGH > dogs > 0
    thresholds = best_thresholds(samples, detections, CATEGORIES)
    assert thresholds is not None
    of_all = operating_curve(samples, detections, CATEGORIES)
    assert of_all.best is not None
    assert of_all.best_count is not None
    assert thresholds.f1["dog"] == of_all.best.threshold
    assert thresholds.count["dog"] == of_all.best_count.threshold

    only_people = [replace(sample, ignore=sample.labels == DOG) for sample in samples]
    kept = {id: person_only(found) for id, found in detections.items()}
    alone = operating_curve(only_people, kept, CATEGORIES)
    assert alone.best is not None
    assert alone.best_count is not None
    assert (thresholds.f1["person"], thresholds.count["person"]) == (alone.best.threshold, alone.best_count.threshold)


def test_without_a_right_detection_there_are_no_thresholds() -> None:
    samples = [make_sample([[0, 0, 50, 50]])]
    assert best_thresholds(samples, {1: make_detections([[60, 60, 90, 90]], [0.5])}, CATEGORIES) is None


def person_only(found: Detections) -> Detections:
    people = found.labels == PERSON
    return make_detections(found.boxes[people].numpy(), found.scores[people].tolist())
