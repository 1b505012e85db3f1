"""JSON values as programs write them: what has one meaning is understood, all else is None.

Tables, databases and annotation tools export numbers and truth values as text, or with a decimal point.
"""

from typing import Any

_TRUTHS = {"1": True, "1.0": True, "true": True, "yes": True, "0": False, "0.0": False, "false": False, "no": False}


def as_truth(value: Any) -> bool | None:
    """The value as true or false, whether it is written true, 1, 1.0, "1", "True" or "yes"; None for all else."""
    if isinstance(value, str):
        return _TRUTHS.get(value.strip().lower())
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None
