"""Numbers, lists and foreign text in a sentence."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

# In characters. What is quoted from a file may be of any length.
LONGEST_LINE = 3000
# Control characters, line and paragraph ends, reversed writing, and halves of characters.
_HIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def counted(number: int, noun: str) -> str:
    """Returns the number and the noun, in the plural unless the number is 1: "1 image", "3 boxes", "2 classes"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith(('s', 'x')) else 's'}"


def first(values: Iterable[object], most: int) -> str:
    """Returns the first `most` of the values, and dots if there are more: "cat, dog, ..."."""
    values = iter(values)
    shown = [str(value) for value in islice(values, most)]
    return ", ".join([*shown, *("..." for _ in islice(values, 1))])


def listed(sentences: Iterable[str], most: int) -> str:
    """Returns the first `most` of the sentences, each in a line of its own below what comes before it."""
    sentences = iter(sentences)
    shown = [*islice(sentences, most), *("..." for _ in islice(sentences, 1))]
    return "".join(f"\n  {sentence}" for sentence in shown)


def printable(text: str) -> str:
    """Returns the text in one line, with an escape such as \\x1b for each character that a terminal would not show.

    Names come from other people's files. A control character in one could hide or forge a line.
    """
    return _HIDDEN.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """Returns `printable` text, with dots in place of its middle if it has more than `LONGEST_LINE` characters."""
    shown = printable(text)
    return shown if len(shown) <= LONGEST_LINE else f"{shown[: LONGEST_LINE // 2]} ... {shown[-LONGEST_LINE // 2 :]}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns "; the nearest is NAME", to continue a sentence that refuses `word`, or "" if no known word is near."""
    return "".join(f"; the nearest is {name}" for name in get_close_matches(word, list(known), n=1))
