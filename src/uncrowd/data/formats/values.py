"""JSON values as programs write them: what has one meaning is understood, all else is None.

Tables, databases and annotation tools export ids and truth values as text, or with a decimal point.
"""

import math
import re
from collections.abc import Container
from typing import Any, TypeGuard

from uncrowd.structures import ImageId

# The most characters of a name or an id. No system opens longer paths than a few thousand characters, and a dataset
# holds its names in arrays as wide as the longest of them.
LONGEST = 1024

_TRUTHS = {"1": True, "1.0": True, "true": True, "yes": True, "0": False, "0.0": False, "false": False, "no": False}
_HALF = re.compile("[\ud800-\udfff]")
_DECIMAL = re.compile(r"-?\d{1,18}(\.\d{1,18})?", re.ASCII)
_WHOLE = re.compile(r"(0|-?[1-9]\d{0,17})(\.0{1,18})?", re.ASCII)


def as_truth(value: Any) -> bool | None:
    """The value as true or false, whether it is written true, 1, 1.0, "1", "True" or "yes"; None for all else."""
    if isinstance(value, str):
        return _TRUTHS.get(value.strip().lower())
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


def as_whole(value: Any) -> int | None:
    """The value as a whole number of 64 bits, whether it is written 1, 1.0, "1" or "1.0"; None for all else.

    Zeros in front belong to a name: "007" is no number.
    """
    if isinstance(value, str):
        match = _WHOLE.fullmatch(value)
        return int(match[1]) if match else None
    whole = type(value) is int or (type(value) is float and value.is_integer())
    return int(value) if whole and -(2**63) <= value < 2**63 else None


def as_length(value: Any) -> int | None:
    """The value as a positive whole number of pixels; None for all else."""
    whole = as_whole(value)
    return whole if whole is not None and 0 < whole < 2**31 else None


def as_id(value: Any) -> ImageId | None:
    """The value as an id: text of at most `LONGEST` characters as it is, or a whole number; None for all else."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST and is_text(value) else None
    return as_whole(value)


def is_text(value: str) -> bool:
    r"""Whether a string can be written to a file, which the half of a character (JSON's "\ud800") cannot."""
    return _HALF.search(value) is None


def as_known(value: Any, known: Container[ImageId]) -> ImageId | None:
    """The known id that the value means: itself, or the same number in another type; None where there is none."""
    if type(value) in (int, str) and value in known:
        return value
    whole = as_whole(value)
    spellings = () if whole is None else (whole, str(whole))
    return next((id for id in spellings if id in known), None)


def is_file_name(value: Any) -> TypeGuard[str]:
    """Whether the value is text of 1 to `LONGEST` characters."""
    return type(value) is str and 0 < len(value) <= LONGEST


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether the value is a JSON number, which true and false are not."""
    return type(value) in (int, float)


def as_float(number: int | float) -> float:
    """The number as a float; infinity for an integer that is too large, since JSON sets no limit."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def as_number(value: Any) -> float | None:
    """The value as a float, whether it is written 1.5 or "1.5"; None for all else."""
    if isinstance(value, str):
        return float(value) if _DECIMAL.fullmatch(value) else None
    return as_float(value) if is_number(value) else None
