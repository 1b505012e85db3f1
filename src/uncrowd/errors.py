"""The errors that end a command with one sentence instead of a stack trace, and checks for settings."""

from numbers import Integral, Real
from typing import Any

from uncrowd.words import one_line


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message is one sentence that names the file, the record and the mend, in some cases with lines of details below
    it. The command line prints it and exits with status 2. Any other error that escapes is a defect of uncrowd
    (status 1). Because it quotes names from files, control characters are escaped, and the middle of a very long line
    is left out.
    """

    def __init__(self, sentence: str, *details: str):
        super().__init__(*map(one_line, (sentence, *details)))

    def __str__(self) -> str:
        """Returns the sentence, and each detail in a line of its own."""
        return "\n".join(self.args)


class NonFiniteError(RuntimeError):
    """A loss, a gradient or a prediction is NaN or infinite; the message says where."""


class PeerLostError(RuntimeError):
    """Another process of a distributed run ended, and this one cannot go on without it."""


def require_at_most(most: int | float, **values: object) -> None:
    """Raises InputError for the first of the named values that is above `most`, or no number."""
    for name, value in values.items():
        if _number(name, value) > most:
            raise InputError(f"{name} is {value}; give {most} or less.")


def require_at_least(least: int | float, **values: object) -> None:
    """Raises InputError for the first of the named values that is below `least`, NaN, or no number."""
    for name, value in values.items():
        if not _number(name, value) >= least:
            raise InputError(f"{name} is {value}; give {least} or more.")


def require_above(bound: int | float, **values: object) -> None:
    """Raises InputError for the first of the named values that is not above `bound`, or no number."""
    for name, value in values.items():
        if not _number(name, value) > bound:
            raise InputError(f"{name} is {value}; give more than {bound}.")


def require_whole(least: int, **values: object) -> None:
    """Raises InputError for the first of the named values that is not a whole number of `least` or more."""
    for name, value in values.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
            raise InputError(f"{name} is {value!r}; give a whole number of {least} or more.")


def require_probability(**values: object) -> None:
    """Raises InputError for the first of the named values that is not a number from 0 to 1."""
    for name, value in values.items():
        if not 0 <= _number(name, value) <= 1:
            raise InputError(f"{name} is {value:g}; give a probability, from 0 to 1.")


def _number(name: str, value: object) -> Any:
    if not isinstance(value, Real):
        raise InputError(f"{name} is {value!r}; give a number.")
    return value


def require_threshold(threshold: object, name: str = "threshold") -> None:
    """Raises InputError unless the threshold is a number between 0 and 1, as scores are."""
    if not isinstance(threshold, Real) or isinstance(threshold, bool) or not 0 <= float(threshold) <= 1:
        raise InputError(f"{name} is {threshold!r}; scores are between 0 and 1.")
