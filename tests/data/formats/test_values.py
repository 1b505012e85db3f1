"""JSON values: what has one meaning is understood, however it is written, and nothing else is."""

import math

import pytest

from uncrowd.data.formats.values import as_known, as_number, as_truth, as_whole


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", " 1 ", "1.0", "true", "True", "YES"])
def test_what_says_yes(value):
    assert as_truth(value) is True


@pytest.mark.parametrize("value", [False, 0, 0.0, -0.0, "0", "0.0", "false", "False", "no"])
def test_what_says_no(value):
    assert as_truth(value) is False


@pytest.mark.parametrize("value", [2, -1, 0.5, math.nan, "2", "", "maybe", "crowd", None, [], [1], {}, {"a": 1}])
def test_what_says_neither(value):
    assert as_truth(value) is None


@pytest.mark.parametrize(
    ("value", "whole"), [(7, 7), (7.0, 7), ("7", 7), ("7.0", 7), ("-7", -7), (0, 0), ("0", 0), (2**63 - 1, 2**63 - 1)]
)
def test_whole_numbers(value, whole):
    assert as_whole(value) == whole


@pytest.mark.parametrize("value", [True, 7.5, 2**63, math.inf, math.nan, "007", "-0", "7.5", "1e3", "", "9" * 30])
def test_what_is_no_whole_number(value):
    assert as_whole(value) is None


@pytest.mark.parametrize(("value", "number"), [(7, 7.0), (7.5, 7.5), ("7", 7.0), ("-7.5", -7.5), (10**400, math.inf)])
def test_numbers(value, number):
    assert as_number(value) == number


@pytest.mark.parametrize("value", [True, None, [], "", " 7", "7_0", "7,5", "1e3", "nan", "inf", "seven", "\u0667"])
def test_what_is_no_number(value):
    assert as_number(value) is None


@pytest.mark.parametrize(
    ("value", "known", "meant"),
    [
        (1, {1}, 1),
        ("1", {1}, 1),
        (1.0, {1}, 1),
        ("1.000000", {1}, 1),
        (1, {"1"}, "1"),
        ("007", {"007", 7}, "007"),
        ("1", {1, "1"}, "1"),
        ("007", {7}, None),
        (True, {1}, None),
        (None, {1}, None),
        ([1], {1}, None),
    ],
)
def test_an_id_is_known_in_either_type(value, known, meant):
    assert as_known(value, known) == meant
