"""The checks that most settings need."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from uncrowd.errors import (
    InputError,
    require_at_least,
    require_at_most,
    require_probability,
    require_threshold,
    require_whole,
)
from uncrowd.words import LONGEST_LINE


def is_refused(check: Callable[[], None]) -> bool:
    """Whether a check raises InputError."""
    try:
        check()
    except InputError:
        return True
    return False


@pytest.mark.parametrize("value", [0, 1, 0.3, np.float32(0.5)])
def test_a_threshold_is_a_number_between_0_and_1(value: object) -> None:
    assert not is_refused(lambda: require_threshold(value))


@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan, "0.5", None, True, [0.5]])
def test_what_is_none_is_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"--threshold is .*; scores are between 0 and 1\."):
        require_threshold(value, "--threshold")


@pytest.mark.parametrize("value", [1, 4, np.int64(4)])
def test_a_count_is_a_whole_number(value: object) -> None:
    assert not is_refused(lambda: require_whole(1, batch_size=value))


@pytest.mark.parametrize("value", [0, -1, 2.0, math.nan, "4", None, True, [4]])
def test_what_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"batch_size is .*; give a whole number of 1 or more\."):
        require_whole(1, batch_size=value)


@pytest.mark.parametrize("value", ["4", None, [4], np.zeros(2)])
def test_what_is_no_number_is_refused(value: Any) -> None:
    for check in (
        lambda: require_at_least(1, epochs=value),
        lambda: require_at_most(1, epochs=value),
        lambda: require_probability(epochs=value),
    ):
        with pytest.raises(InputError, match=r"epochs is .*; give a number\."):
            check()


def test_a_name_of_any_length_leaves_the_mend_readable() -> None:
    error = InputError(f"{'x' * 100_000}.jpg does not exist; correct its name.")
    assert len(str(error)) < 1.1 * LONGEST_LINE
    assert str(error).endswith("does not exist; correct its name.")
