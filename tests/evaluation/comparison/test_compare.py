"""A resample scores as the evaluator scores a dataset in which its images physically occur several times."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from uncrowd.errors import InputError
from uncrowd.evaluation.coco import CocoEvaluator
from uncrowd.evaluation.comparison.bootstrap import Comparison, ScoreDifference
from uncrowd.evaluation.comparison.coco import CocoMatches
from uncrowd.evaluation.comparison.compare import compare_detections
from uncrowd.evaluation.comparison.crowdhuman import CrowdHumanMatches
from uncrowd.evaluation.counting import counting_errors
from uncrowd.evaluation.crowdhuman import CrowdHumanEvaluator
from uncrowd.structures import Categories, Detections, ImageId, Sample, ScoreProtocol

CLASSES: dict[ScoreProtocol, Categories] = {
    "coco": Categories(ids=(3, 8), names=("person", "dog")),
    "crowdhuman": Categories(ids=(1,), names=("person",)),
}
Found = dict[ImageId, Detections]
# The least score of a detection that is counted.
COUNTED = 0.6


def made_up(seed: int, protocol: ScoreProtocol, images: int = 6) -> tuple[list[Sample], Found, Found]:
    """Returns crowded images with ignored ground truth, and two detectors' detections, all with different scores."""
    rng = np.random.default_rng(seed)
    categories = CLASSES[protocol]
    samples, a, b = [], {}, {}
    for id in rng.permutation(50)[:images].tolist():
        n = int(rng.integers(0, 6))
        boxes = random_boxes(rng, n)
        sample = Sample(
            id=id,
            path=Path("unused.jpg"),
            size=(200, 200),
            boxes=boxes,
            labels=rng.integers(len(categories), size=n),
            ignore=rng.random(n) < 0.2,
            areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        )
        samples.append(sample)
        for found, noise in ((a, 3.0), (b, 6.0)):
            near = np.repeat(boxes, 2, axis=0)
            near = np.concatenate([near + rng.normal(0, noise, near.shape), random_boxes(rng, 3)])
            near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
            labels = np.concatenate([np.repeat(sample.labels, 2), rng.integers(len(categories), size=3)])
            found[id] = Detections(
                boxes=torch.from_numpy(near),
                scores=torch.from_numpy(-np.sort(-rng.random(len(near)))),
                labels=torch.from_numpy(labels),
                categories=categories,
            )
    del b[samples[0].id]  # an image without detections
    return samples, a, b


def random_boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    corner = rng.uniform(0, 120, (n, 2))
    return np.concatenate([corner, corner + rng.uniform(20, 80, (n, 2))], axis=1)


def resampled_scores(
    samples: list[Sample], found: Found, indices: np.ndarray, protocol: ScoreProtocol
) -> dict[str, float | None]:
    """Builds the dataset that has the images at `indices`, each with an id of its own, and scores it."""
    copies = [replace(samples[i], id=number) for number, i in enumerate(indices)]
    detections: Found = {number: found[samples[i].id] for number, i in enumerate(indices) if samples[i].id in found}
    evaluator = CocoEvaluator() if protocol == "coco" else CrowdHumanEvaluator()
    counting = counting_errors(copies, detections, CLASSES[protocol], COUNTED)
    scores = evaluator.evaluate(copies, detections, CLASSES[protocol]).values
    return {**scores, "counting error": counting.overall.total_error}


@pytest.mark.parametrize("protocol", ["coco", "crowdhuman"])
@pytest.mark.parametrize("seed", range(3))
def test_a_resample_scores_as_a_dataset_of_its_images(protocol: ScoreProtocol, seed: int) -> None:
    samples, a, b = made_up(seed, protocol)
    rng = np.random.default_rng(seed)
    matches = CocoMatches if protocol == "coco" else CrowdHumanMatches
    for found in (a, b):
        matched = matches.of(samples, found, CLASSES[protocol])
        for indices in (np.arange(len(samples)), *(rng.integers(len(samples), size=len(samples)) for _ in range(4))):
            expected = resampled_scores(samples, found, indices, protocol)
            values = matched.values(np.bincount(indices, minlength=len(samples)))
            assert values == pytest.approx({name: expected[name] for name in values}, abs=1e-9)


@pytest.mark.parametrize("protocol", ["coco", "crowdhuman"])
def test_the_comparison_equals_a_slow_twin(protocol: ScoreProtocol) -> None:
    samples, a, b = made_up(7, protocol)
    comparison = compare_detections(
        a, b, samples, CLASSES[protocol], protocol, thresholds=(COUNTED, COUNTED), resamples=20, seed=5
    )
    rng = np.random.default_rng(5)
    draws = [rng.integers(len(samples), size=len(samples)) for _ in range(20)]
    pairs = [[resampled_scores(samples, found, draw, protocol) for found in (a, b)] for draw in draws]
    every = np.arange(len(samples))
    on_all = [resampled_scores(samples, found, every, protocol) for found in (a, b)]
    of_protocol = ["AP", "AP50"] if protocol == "coco" else ["AP", "mMR", "JI"]
    assert list(comparison.scores) == [*of_protocol, "counting error"]
    for name, score in comparison.scores.items():
        differences = [x[name] - y[name] for x, y in pairs if x[name] is not None]  # type: ignore[operator]
        wins = [0.5 if abs(d) < 1e-12 else float((d < 0) == (name in ("mMR", "counting error"))) for d in differences]
        assert score is not None
        assert (score.a, score.b) == pytest.approx((on_all[0][name], on_all[1][name]), abs=1e-9)
        assert score.lower == pytest.approx(np.percentile(differences, 2.5), abs=1e-9)
        assert score.upper == pytest.approx(np.percentile(differences, 97.5), abs=1e-9)
        assert score.a_better == pytest.approx(np.mean(wins))


def test_the_seed_decides_the_draws() -> None:
    samples, a, b = made_up(1, "coco")

    def compared(seed: int) -> Comparison:
        return compare_detections(a, b, samples, CLASSES["coco"], "coco", resamples=10, seed=seed)

    assert compared(0) == compared(0)
    assert compared(0) != compared(1)


def test_the_same_detections_are_equally_good() -> None:
    samples, a, _ = made_up(2, "coco")
    same = compare_detections(a, a, samples, CLASSES["coco"], "coco", resamples=10)
    score = same.scores["AP"]
    assert score is not None
    assert (score.difference, score.lower, score.upper, score.a_better) == (0, 0, 0, 0.5)
    assert same.better is None
    assert same.answer().startswith("A and B score the same: AP is ")
    assert same.table().splitlines()[1].endswith("equal")


@pytest.mark.parametrize("protocol", ["coco", "crowdhuman"])
def test_without_objects_nothing_is_compared(protocol: ScoreProtocol) -> None:
    samples, a, b = made_up(3, protocol)
    empty = [replace(s, ignore=np.ones(len(s.boxes), dtype=bool)) for s in samples]
    compared = compare_detections(a, b, empty, CLASSES[protocol], protocol, resamples=5)
    assert set(compared.scores.values()) == {None}
    assert compared.answer() == "The dataset has no objects, so the two cannot be compared."
    assert len(compared.table().splitlines()) == 1 + len(compared.scores)


def test_a_detector_that_finds_nothing_loses() -> None:
    samples, a, _ = made_up(4, "coco")
    compared = compare_detections(a, {}, samples, CLASSES["coco"], "coco", resamples=20)
    assert compared.better == "a"
    assert compared.answer("new.json", "old.json").startswith("new.json is better than old.json, which is not luck ")
    back = compare_detections({}, a, samples, CLASSES["coco"], "coco", resamples=20)
    assert back.better == "b"
    assert back.answer().startswith("B is better than A, which is not luck of the images: AP is 0.0 against ")


def test_an_interval_around_0_may_be_luck() -> None:
    luck = ScoreDifference(a=0.5, b=0.45, lower=-0.01, upper=0.11, a_better=0.93)
    compared = Comparison(headline="AP", scores={"AP": luck}, images=12, resamples=1000)
    assert compared.better is None
    assert compared.answer() == (
        "Which of A and B is better may be luck of the images: AP is 50.0 against 45.0, a difference of +5.0 (95 % "
        "interval -1.0 to +11.0), and A is better in 93.0 % of 1,000 resamples of the 12 images."
    )
    assert compared.table().splitlines()[1] == "AP              50.0   45.0    +5.0     -1.0 to +11.0     93.0 %"
    assert compared.to_dict()["scores"]["AP"]["difference"] == pytest.approx(0.05)


def test_detections_of_other_images_are_refused() -> None:
    samples, a, _ = made_up(5, "coco")
    with pytest.raises(InputError, match="the id 999"):
        compare_detections(a, {999: next(iter(a.values()))}, samples, CLASSES["coco"], "coco", resamples=1)
