"""Effects of made-up runs can be computed by hand, and intervals cover what they should."""

from typing import Any

import numpy as np
import pytest
from benchmarks.claims.effects import BASELINE, CORNERS, EFFECTS, FULL, paper_difference, paper_effect, weights
from benchmarks.claims.study import Study, draw_images, draw_seeds, over_seeds, resample, studies

# Neither, IoU-ESA, DCW, both.
AP = (0.50, 0.52, 0.53, 0.59)


def study(ap: dict[str, dict[int, np.ndarray]], **other: float) -> Study:
    return Study(
        dataset="drawn-0.5",
        budget="short",
        records={name: {seed: {"detector": {"attention": "iou"}} for seed in runs} for name, runs in ap.items()},
        resampled={
            name: {
                seed: {"AP": values, **{score: np.full(len(values), value) for score, value in other.items()}}
                for seed, values in runs.items()
            }
            for name, runs in ap.items()
        },
    )


def factorial(seeds: int, noise: float = 0.0) -> Study:
    """Returns a study in which a seed shifts all detectors alike."""
    return study(
        {
            name: {seed: np.full(201, ap + noise * seed) for seed in range(seeds)}
            for name, ap in zip(CORNERS, AP, strict=True)
        },
        AP50=0.6,
    )


@pytest.mark.parametrize(("effect", "value"), [("IoU-ESA", 0.04), ("DCW", 0.05), ("interaction", 0.04), ("both", 0.09)])
def test_effects_are_those_of_the_hand(effect: str, value: float) -> None:
    estimate = factorial(3, noise=0.1).contrast(weights(effect), "AP")
    assert estimate == pytest.approx((value, value, value))


def test_only_seeds_that_all_detectors_have_count() -> None:
    ap = {name: {seed: np.full(201, value) for seed in range(2)} for name, value in zip(CORNERS, AP, strict=True)}
    ap[FULL] = {0: np.full(201, 0.7)}
    some = study(ap, AP50=0.6)
    assert some.seeds(CORNERS) == [0]
    estimate = some.contrast(weights("both"), "AP")
    assert estimate is not None
    assert estimate.value == pytest.approx(0.2)
    assert some.contrast(weights("both"), "JI") is None
    assert some.contrast({BASELINE: 1, "another": -1}, "AP") is None


@pytest.mark.parametrize(("ap50", "weak"), [(0.49, True), (0.5, False)])
def test_a_baseline_below_half_is_weak(ap50: float, weak: bool) -> None:
    assert study({name: {0: np.zeros(2)} for name in CORNERS}, AP50=ap50).is_weak(BASELINE, CORNERS) == weak


def test_the_bootstrap_equals_its_slow_twin() -> None:
    by_seed = np.random.default_rng(0).normal(size=(3, 301))
    drawn, means = draw_seeds(3, 300), []
    for number in range(300):
        means.append(sum(by_seed[seed, 1 + number] for seed in drawn[number]) / 3)
    lower, upper = np.quantile(means, [0.025, 0.975])
    assert over_seeds(by_seed) == pytest.approx((by_seed[:, 0].mean(), lower, upper))


def test_most_intervals_cover_the_true_mean() -> None:
    """Eight seeds give an interval that covers in about nine of ten trials, because its seeds are few."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(200):
        seeds = rng.normal(0.3, 1.0, size=(8, 1))
        lower, upper = over_seeds(np.hstack([seeds, seeds + rng.normal(0, 0.3, size=(1, 400))]))[1:]
        covered += lower <= 0.3 <= upper
    assert 165 <= covered <= 198


def test_the_first_draw_has_each_image_once_and_the_others_as_many_images() -> None:
    drawn = draw_images(5, 40)
    assert drawn.shape == (41, 5)
    assert (drawn[0] == 1).all()
    assert (drawn.sum(axis=1) == 5).all()
    assert len(np.unique(drawn, axis=0)) > 30
    values = resample(lambda times: {"first": float(times[0])}, drawn)
    assert values["first"].tolist() == drawn[:, 0].tolist()


def test_the_papers_effects_are_those_of_its_tables() -> None:
    assert paper_effect("IoU-ESA", "mMR") == (-0.35, "Table 3")
    assert paper_effect("DCW", "Recall") == (0.3, "Table 3")
    assert paper_effect("IoU-ESA", "AP50") == (1.45, "Table 4")
    assert paper_effect("interaction", "AP75") == (-0.9, "Table 4")
    assert paper_effect("both", "crowd AP") == (1.7, "Table 5")
    assert paper_effect("both", "AP") == (1.6, "Table 6")
    assert paper_difference("none-entangled", "AP") == (-4.3, "Table 1, Table 6")
    assert paper_difference("iou-only-entangled", "crowd AP") == (-2.0, "Table 8")
    assert paper_difference("content-half", "mMR") == (1.4, "Table 9")
    assert paper_difference("content-dcw", "AP") is None
    assert paper_effect("DCW", "AP") is None
    assert paper_effect("both", "JI") is None
    assert set(EFFECTS) == {"IoU-ESA", "DCW", "interaction", "both"}


def test_records_are_grouped_by_dataset_and_budget_in_the_order_of_the_queue() -> None:
    names = ["d_a_short_0", "d_b_short_0", "d_a_short_1", "e_a_long_0"]
    records: list[dict[str, Any]] = [
        {"name": name, "detector": {"attention": "iou"}, "test": {}} for name in reversed(names)
    ]
    records += [{"name": "d_a_short_9", "test": {}}, {"name": "d_a_rates_0_0.1"}]
    first, second = studies(records, lambda record: {"AP": np.zeros(2)}, [*names, "d_a_rates_0_0.1"])
    assert (first.dataset, first.budget, second.dataset, second.budget) == ("d", "short", "e", "long")
    assert {name: list(runs) for name, runs in first.records.items()} == {"a": [0, 1], "b": [0]}
    assert (first.ours, first.peers) == (["a", "b"], [])
