"""What a parameter declares is what it takes, with the numbers of NumPy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from uncrowd.argument_types import checked_types, require_types
from uncrowd.errors import InputError

FITTING: list[tuple[Any, Any]] = [
    (int, np.int64(3)),
    (float, 3),
    (float | None, np.float32(0.5)),
    (str | Path, Path("a")),
    (Sequence[str | Path], ["a", Path("b")]),
    (Sequence[int], (1, np.int64(2))),
    (Mapping[int | str, Sequence[str]], {np.int64(1): ["a"], "b": "c"}),
    (Literal["a", "b"] | None, "b"),
    (Any, object()),
]
OTHERS: list[tuple[Any, Any]] = [
    (int, 3.0),
    (float, True),
    (bool, 1),
    (str | Path, None),
    (str | Path | None, " "),
    (str | Path, "a\0b"),
    (tuple[int, ...], (1, "2")),
    (Sequence[str], ["a", 3]),
    (Sequence[str], {"a"}),
    (Mapping[str, float], {"a": "b"}),
    (Literal["a", "b"], "c"),
    (Literal["a", "b"], np.zeros(2)),
]


@pytest.mark.parametrize(("hint", "value"), FITTING)
def test_what_fits(hint: Any, value: Any) -> None:
    assert require_types({"given": hint}, {"given": value, "unknown": value}) is None


@pytest.mark.parametrize(("hint", "value"), OTHERS)
def test_what_does_not_fit(hint: Any, value: Any) -> None:
    with pytest.raises(InputError, match=r"^given is .*; give .*\.$"):
        require_types({"given": hint}, {"given": value})


def test_a_checked_function_stays_what_it_is() -> None:
    @checked_types(b="a letter")
    def add(a: int, b: str | None = None, *more: int, **others: int) -> tuple[Any, ...]:
        """Adds."""
        return a, b, more, others

    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    assert add(1, "x", 2, c=3) == (1, "x", (2,), {"c": 3})
    with pytest.raises(InputError, match=r"^b is 2; give a letter\.$"):
        add(1, b=2)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        add()  # pyright: ignore[reportCallIssue]
