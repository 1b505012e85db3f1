"""Tables and answers of made-up studies have the numbers that were put in, and claim nothing that does not count."""

from typing import Any

import numpy as np
import pytest
from benchmarks.claims.answers import gain_answers, overlapped_answers, speed_answers
from benchmarks.claims.effects import CORNERS, FULL
from benchmarks.claims.study import Study
from benchmarks.claims.tables import (
    effects_table,
    learning_table,
    lines_table,
    overlapped_table,
    peers_table,
    scores_table,
)

# Neither, IoU-ESA, DCW, both.
AP = dict(zip(CORNERS, (0.50, 0.52, 0.53, 0.59), strict=True))
PEER = "faster-rcnn-1"


def study(ap: dict[str, float], *, ap50: float = 0.6, dataset: str = "drawn-0.5", seeds: int = 2) -> Study:
    """Returns a study in which all resamples are as the whole; 99 objects overlap by more than .7."""

    def record(name: str, seed: int) -> dict[str, Any]:
        overlapped = {"objects": [200, 0, 0, 300, 99], "found": [100, 0, 0, 90, 33], "duplicates": [0, 0, 0, 6, 0]}
        test = {
            "coco": {"AP": ap[name], "AP50": ap50, "AP75": 0.3},
            "overlapped": [overlapped | {"iou": iou} for iou in (0.5, 0.75)],
        }
        return {
            "name": f"{dataset}_{name}_short_{seed}",
            "detector": {} if name == PEER else {"attention": "iou"},
            "budget": {"steps": 1000},
            "commit": "abc1234",
            "machine": "a machine",
            "seconds": 600.0,
            "evaluations": [{"images": images, "AP": ap[name] * images / 8000} for images in (4000, 8000)],
            "test": test,
            "other_outputs": {"Soft-NMS": {"test": test}} if name == PEER else {},
        }

    values = {name: {"AP": value, "AP50": ap50, "found at 0.5": value - 0.1} for name, value in ap.items()}
    return Study(
        dataset=dataset,
        budget="short",
        records={name: {seed: record(name, seed) for seed in range(seeds)} for name in ap},
        resampled={
            name: {seed: {score: np.full(101, value) for score, value in scores.items()} for seed in range(seeds)}
            for name, scores in values.items()
        },
    )


def test_scores_are_means_and_missing_ones_are_dashes() -> None:
    table = scores_table(study(AP))
    assert "| AP | 50.0 | 52.0 | 53.0 | 59.0 |" in table
    assert "| JI | - | - | - | - |" in table
    assert f"`drawn-0.5_{FULL}_short_` 0, 1" in table


def test_each_effect_stands_beside_the_papers() -> None:
    table = effects_table(study(AP))
    assert (
        "| AP50 | +0.0 (+0.0 to +0.0) | +1.45 | +0.0 (+0.0 to +0.0) | +0.75 | +0.0 (+0.0 to +0.0) | -0.7 "
        "| +0.0 (+0.0 to +0.0) | +2.2 |"
    ) in table
    assert (
        "| AP | +4.0 (+4.0 to +4.0) |  | +5.0 (+5.0 to +5.0) |  | +4.0 (+4.0 to +4.0) |  | +9.0 (+9.0 to +9.0) | +1.6 |"
    ) in table
    assert "100 resamples of seeds and images." in table
    assert "minus Sparse R-CNN" not in table
    assert "| small-data-1-none-entangled | -10.0 (-10.0 to -10.0) | -4.3 |" in effects_table(
        study(AP | {"small-data-1-none-entangled": 0.4})
    )


def test_a_weak_baseline_allows_no_claim() -> None:
    weak = study(AP, ap50=0.49)
    sentence = "Baseline too weak, no claim: its AP50 is 49.0, below 50."
    for text in (effects_table(weak), learning_table(weak, {}), gain_answers([weak]), speed_answers([weak])):
        assert sentence in text
        assert "+9.0" not in text


def test_what_is_missing_is_named() -> None:
    some = study({name: AP[name] for name in CORNERS[:2]})
    assert effects_table(some) == "*Not yet run: + IoU-ESA + DCW.*"
    ends = study({name: AP[name] for name in (CORNERS[0], FULL)})
    assert "| AP | - |  | - |  | - |  | +9.0 (+9.0 to +9.0) | +1.6 |" in effects_table(ends)
    assert "IoU-ESA: *Not yet run.* DCW: *Not yet run.* Both together: AP +9.0" in gain_answers([ends])
    assert gain_answers([some]) == "- drawn-0.5, short: *Not yet run.*"
    assert peers_table(some) == "*Not yet run: no line of another detector is recorded.*"
    assert learning_table(study({PEER: 0.5}), {}) == "*Not yet run.*"
    assert {answer([]) for answer in (gain_answers, speed_answers, overlapped_answers)} == {"*Not yet run.*"}


def test_learning_has_shares_of_images_and_ap_at_equal_seconds() -> None:
    """The full method reaches .5 of its .59 after 6780 of 8000 images, and sees half as many in the same seconds."""
    table = learning_table(study(AP), {FULL: 2.0})
    assert "| + IoU-ESA + DCW | 2 | 59.0 | 0.85 (0.85 to 0.85) | 2.00 | 29.5 |" in table
    assert "| Sparse R-CNN | 2 | 50.0 | 1.00 (1.00 to 1.00) |  |  |" in table
    assert "not reached" in learning_table(study(AP | {FULL: 0.4}), {})
    assert "| + IoU-ESA + DCW | 1 | 59.0 | 0.85 |  |  |" in learning_table(study(AP, seeds=1), {})
    assert "after 85 % of its images (one seed)" in speed_answers([study(AP, seeds=1)])


def test_few_objects_are_counted_and_not_made_a_share() -> None:
    table = overlapped_table(study(AP))
    assert "| detector | IoU | none (200) | to .3 (0) | to .5 (0) | to .7 (300) | above .7 (99) |" in table
    assert "| Sparse R-CNN | 0.5 | 50.0 | 0 of 0 | 0 of 0 | 30.0 | 33 of 99 | 1.0 |" in table


@pytest.mark.parametrize(
    ("peer", "verdict"), [(0.5, "that holds here"), (0.55, "that does not hold here"), (0.7, "that does not hold here")]
)
def test_the_expectation_is_held_against_the_best_of_the_others(peer: float, verdict: str) -> None:
    answer = overlapped_answers([study(AP | {PEER: peer, "weaker": 0.1})])
    assert f"Points more than {PEER}, the best of the others" in answer
    assert verdict in answer
    assert f"\n    - `weaker`: -{100 * (peer - 0.1):.1f} (" in answer


def test_other_outputs_of_a_peer_stand_below_it() -> None:
    table = peers_table(study(AP | {PEER: 0.55})).splitlines()
    row = next(number for number, line in enumerate(table) if line.startswith(f"| {PEER} |"))
    assert table[row].startswith(f"| {PEER} | 2 | 55.0 | 60.0 | - | 45.0 |")
    assert table[row].endswith("| 0.60 |")
    assert table[row + 1].startswith(f"| {PEER}, Soft-NMS | 2 | 55.0 | 60.0 | 30.0 | 30.8 |")


def test_one_seed_claims_nothing() -> None:
    alone = study(AP | {PEER: 0.5}, seeds=1)
    apart = study(AP, dataset="drawn-0", seeds=1)
    for answer in (gain_answers([apart, alone]), overlapped_answers([alone])):
        assert "One seed: intervals are over images alone, so nothing is claimed." in answer
        assert not any(verdict in answer for verdict in ("a gain", "grows", "that holds", "does not hold"))


def test_growth_with_crowding_is_told_where_two_overlaps_are_done() -> None:
    apart = study({name: 0.5 + (ap - 0.5) / 3 for name, ap in AP.items()}, dataset="drawn-wide-0")
    answers = gain_answers([apart, study(AP)])
    assert "from +3.0 (+3.0 to +3.0) at overlap 0 to +9.0 (+9.0 to +9.0) at 0.5, so it grows with crowding" in answers
    assert "crowding" not in gain_answers([study(AP)])


def test_lines_are_listed_with_their_commit_or_as_missing() -> None:
    record = study(AP).records[FULL][0]
    rate = {name: value for name, value in record.items() if name != "test"} | {"name": "a rate"}
    table = lines_table([record["name"], "a rate", "another_0", "another_1"], {record["name"]: record, "a rate": rate})
    assert "2 of 4 lines done." in table
    assert f"| `{record['name']}` | 59.0 | 59.0 | 10 | `abc1234` | a machine |" in table
    assert "| `a rate` | 59.0 |  | 10 | `abc1234` | a machine |" in table
    assert table.endswith("Not yet run:\n\n- `another_` 0, 1")
    assert lines_table([record["name"]], {record["name"]: record}).endswith("| a machine |")
