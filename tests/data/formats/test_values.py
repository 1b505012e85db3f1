"""JSON values: what has one meaning is understood, however it is written, and nothing else is."""

import math

import pytest

from uncrowd.data.formats.values import as_truth


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", " 1 ", "1.0", "true", "True", "YES"])
def test_what_says_yes(value):
    assert as_truth(value) is True


@pytest.mark.parametrize("value", [False, 0, 0.0, -0.0, "0", "0.0", "false", "False", "no"])
def test_what_says_no(value):
    assert as_truth(value) is False


@pytest.mark.parametrize("value", [2, -1, 0.5, math.nan, "2", "", "maybe", "crowd", None, [], [1], {}, {"a": 1}])
def test_what_says_neither(value):
    assert as_truth(value) is None
