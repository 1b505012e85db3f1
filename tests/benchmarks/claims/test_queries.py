"""What decides about dense queries is computed from made-up lines, and is open where lines are missing."""

from typing import Any

from benchmarks.claims.effects import BASELINE, FULL
from benchmarks.claims.lines import all_lines
from benchmarks.claims.queries import (
    ALONE,
    CHANGED,
    DENSE,
    LEARNED,
    QUESTIONS,
    TIMED,
    changes_table,
    decision_table,
    learning_of_queries,
    lowered_changes_table,
    with_lowered,
)

NAMES = [line.name for line in all_lines()]


def record(ap: float, found: int = 50) -> dict[str, Any]:
    overlapped = {"objects": [10, 0, 0, 60, 40], "found": [0, 0, 0, found, 0]}
    return {
        "evaluations": [{"images": 4000, "AP": ap / 2}, {"images": 8000, "AP": ap}],
        "test": {
            "coco": {"AP": ap, "AP50": 0.6, "AP75": 0.3},
            "crowdhuman": {"JI": 0.5, "Recall": 0.9},
            "overlapped": [overlapped, overlapped],
        },
    }


def lines(ap: dict[str, float], seeds: int) -> dict[str, Any]:
    return {f"drawn-0.5_{name}_short_{seed}": record(value) for name, value in ap.items() for seed in range(seeds)}


def row(table: str, question: str) -> list[str]:
    (found,) = [line for line in table.splitlines() if line.startswith(f"| {question} |")]
    return [cell.strip() for cell in found.strip("|").split("|")][1:-1]


def test_every_question_is_answered_by_lines_of_the_queue() -> None:
    assert all(f"{each}_{seed}" in NAMES for question in QUESTIONS for each in question.rows for seed in (0, 1))


def test_what_is_measured_is_judged_and_the_rest_is_open() -> None:
    table = decision_table(lines({FULL: 0.4, DENSE: 0.6}, seeds=1), NAMES, None)
    assert row(table, "AP after the same images, times the yardstick's") == [
        "at least 1.4",
        "1.50",
        "holds so far",
        "1 of 3",
    ]
    shares = row(table, "images to the yardstick's last AP, %")
    assert shares == ["at most 40", "66.67", "does not hold so far", "1 of 3"], "linearly between evaluations"
    assert row(table, "what the stages add to their dense head: AP") == ["at least 2", "", "open", "0 of 3"]
    assert row(table, "seconds of a training step, times the yardstick's") == ["at most 1", "", "open", ""]


def test_with_all_seeds_it_is_decided() -> None:
    records = lines({FULL: 0.4, DENSE: 0.3, ALONE: 0.25}, seeds=3)
    records = with_lowered(records, lambda name: {"AP": 0.3 if ALONE in name else 0.4, "found at 0.5": 0.6})
    speed = {"seconds": {"training step": {BASELINE: [1.0], FULL: [1.2], TIMED: [1.5]}}}
    table = decision_table(records, NAMES, speed)
    assert row(table, "images to the yardstick's last AP, %") == ["at most 40", "never", "does not hold", "3 of 3"]
    assert row(table, "what the stages add to their dense head: AP") == ["at least 2", "5.00", "holds", "3 of 3"]
    assert row(table, "the same, duplicates lowered: AP") == ["at least 2", "10.00", "holds", "3 of 3"]
    assert row(table, "seconds of a training step, times the yardstick's")[:3] == ["at most 1", "1.25", "does not hold"]


def test_seconds_are_images_times_those_of_a_step() -> None:
    """The AP of half of the images, .3, is .75 of the yardstick's last one; a step takes 1.25 times as long."""
    records = lines({FULL: 0.4, TIMED: 0.6}, seeds=2)
    speed = {"seconds": {"training step": {BASELINE: [1.0], FULL: [1.0], TIMED: [1.25]}}}
    table = decision_table(records, NAMES, speed)
    seconds = row(table, "seconds to the yardstick's last AP, %")
    assert seconds == ["at most 60", f"{1.25 * 66.6667:.2f}", "does not hold so far", "2 of 3"]
    times = row(table, "AP after the same seconds, times the yardstick's")
    assert times == ["at least 1.2", f"{(0.3 + 0.3 * 0.6) / 0.4:.2f}", "holds so far", "2 of 3"]
    without = decision_table(records, NAMES, None)
    assert row(without, "AP after the same seconds, times the yardstick's")[2] == "open"


def test_each_change_is_compared_over_the_seeds_of_both() -> None:
    records = lines({DENSE: 0.5}, seeds=2) | lines({LEARNED: 0.4}, seeds=1) | lines({FULL: 0.3}, seeds=2)
    records[f"drawn-0.5_{DENSE}_short_1"] = record(0.1)
    assert changes_table(records).splitlines()[2:] == [
        f"| `{DENSE}` | 0, 1 | 30.0 (+0.0) | 30.0 (+0.0) | 30.0 (+0.0) | 50.0 (+0.0) | 50.0 (+0.0) |",
        f"| `{LEARNED}` | 0 | 40.0 (-10.0) | 40.0 (-10.0) | 30.0 (+0.0) | 50.0 (+0.0) | 50.0 (+0.0) |",
    ]
    assert changes_table(lines({FULL: 0.5}, seeds=2)) == "*Not yet run.*"
    assert all(f"drawn-0.5_{each}_short_0" in NAMES for each in CHANGED)


def test_each_change_is_compared_with_duplicates_lowered() -> None:
    records = lines({DENSE: 0.5, LEARNED: 0.4, FULL: 0.3}, seeds=1)

    def lowered(name: str) -> dict[str, float]:
        ap = records[name]["test"]["coco"]["AP"] + 0.1
        return {"AP": ap, "AP75": ap / 2, "JI": 0.8, "found at 0.5": 0.7}

    both = with_lowered(records, lowered)
    assert lowered_changes_table(both).splitlines()[2:] == [
        f"| `{DENSE}` | 0 | 60.0 (+0.0) | 30.0 (+0.0) | 80.0 (+0.0) | 70.0 (+0.0) |",
        f"| `{LEARNED}` | 0 | 50.0 (-10.0) | 25.0 (-5.0) | 80.0 (+0.0) | 70.0 (+0.0) |",
    ]
    assert "lowered" not in both[f"drawn-0.5_{FULL}_short_0"]


def test_learning_has_the_seeds_of_the_dense_queries() -> None:
    records = lines({BASELINE: 0.3, FULL: 0.4, "another": 0.5}, seeds=2) | lines({DENSE: 0.5}, seeds=1)
    table = learning_of_queries(records).splitlines()
    assert table[0] == "| detector | 4,000 | 8,000 | test AP | AP50 | AP75 | JI | overlapped > .5 found |"
    assert table[2:5] == [
        "| Sparse R-CNN | 15.0 | 30.0 | 30.0 | 60.0 | 30.0 | 50.0 | 50.0 |",
        "| + IoU-ESA + DCW | 20.0 | 40.0 | 40.0 | 60.0 | 30.0 | 50.0 | 50.0 |",
        f"| {DENSE} | 25.0 | 50.0 | 50.0 | 60.0 | 30.0 | 50.0 | 50.0 |",
    ]
    assert table[-1].endswith("with seed 0.")
    assert learning_of_queries(lines({FULL: 0.4}, seeds=1)) == "*Not yet run.*"
