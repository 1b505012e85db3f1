"""Numbers and lists in a sentence."""

from collections.abc import Iterable
from itertools import islice


def counted(number: int, noun: str) -> str:
    """The number and the noun in its plural, unless it is one: "1 picture", "3 boxes", "2 classes"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith(('s', 'x')) else 's'}"


def first(values: Iterable[object], most: int) -> str:
    """The first `most` of the values, and dots where there are more: "cat, dog, ..."."""
    values = iter(values)
    shown = [str(value) for value in islice(values, most)]
    return ", ".join([*shown, *("..." for _ in islice(values, 1))])
