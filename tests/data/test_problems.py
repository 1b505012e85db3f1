"""Broken rules are counted, with the first examples; errors refuse a file, what is left out is told."""

from pathlib import Path

import pytest

from uncrowd.data.problems import Problems, Rule
from uncrowd.errors import InputError

ODD = Rule(kind="odd", severity="warning", message="odd boxes", training="training uses them")
EMPTY = Rule(kind="empty", severity="warning", message="empty boxes", training="training leaves them out", skips=True)
WRONG = Rule(kind="wrong", severity="error", message="wrong boxes", training="mend them")


def noted(*broken: Rule) -> Problems:
    problems = Problems()
    for number, rule in enumerate(broken):
        problems.add(rule, f"box {number}")
    return problems


def test_sentences_show_three_examples_at_most():
    few, many = noted(ODD, EMPTY, EMPTY, EMPTY, EMPTY).findings("val")
    assert few.sentence() == "warning: val: odd boxes: 1 (box 0); training uses them."
    assert many.sentence() == "warning: val: empty boxes: 4 (box 1, box 2, box 3, ...); training leaves them out."


def test_an_example_is_cut_where_the_user_s_file_has_an_endless_text():
    problems = Problems()
    problems.add(ODD, "x" * 1_000_000)
    (finding,) = problems.findings()
    assert finding.examples == ["x" * 1000 + "..."]


def test_only_what_is_left_out_counts_as_skipped():
    assert noted(ODD, EMPTY, EMPTY).skipped == {"empty boxes": 2}


def test_errors_refuse_the_file_and_warnings_do_not():
    noted(ODD, EMPTY).refuse_errors(Path("a.json"))
    with pytest.raises(InputError, match=r"^a\.json has wrong boxes \(box 1\); mend them\.$"):
        noted(ODD, WRONG).refuse_errors(Path("a.json"))
