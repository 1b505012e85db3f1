"""Numbers and lists in a sentence."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice


def counted(number: int, noun: str) -> str:
    """The number and the noun in its plural, unless it is one: "1 image", "3 boxes", "2 classes"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith(('s', 'x')) else 's'}"


def first(values: Iterable[object], most: int) -> str:
    """The first `most` of the values, and dots where there are more: "cat, dog, ..."."""
    values = iter(values)
    shown = [str(value) for value in islice(values, most)]
    return ", ".join([*shown, *("..." for _ in islice(values, 1))])


def nearest(word: str, known: Iterable[str]) -> str:
    """ "; the nearest is NAME", to go on a sentence that refuses the word, or nothing where none is near."""
    return "".join(f"; the nearest is {name}" for name in get_close_matches(word, list(known), n=1))
