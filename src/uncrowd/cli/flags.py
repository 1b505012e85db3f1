"""Parsing, types and checks of flags that several verbs share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar, cast

import tyro

from uncrowd.errors import InputError

Arguments = TypeVar("Arguments")

# The help shows these optional flags without tyro's "{None}|" and "(default: None)"; their text explains the default.
OptionalPath = Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")]
OptionalNumber = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
OptionalReal = Annotated[float | None, tyro.conf.arg(metavar="FLOAT", help_behavior_hint="")]
OptionalClasses = Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS [CLASS ...]", help_behavior_hint="")]
OptionalDevice = Annotated[str | None, tyro.conf.arg(metavar="DEVICE", help_behavior_hint="")]


def parse(cls: type[Arguments], argv: Sequence[str], prog: str, default: Arguments | None = None) -> Arguments:
    """Returns the arguments as `cls`. Prints errors of parsing on standard error, and then raises SystemExit(2).

    Raises InputError for a flag that takes several values and is given none: the parser would take it for left out.
    """
    # a switch is one flag, not a pair; a configuration that is None has no flags
    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands)
    arguments = cast(Arguments, tyro.cli(cls, args=list(argv), prog=prog, default=default, config=config))
    given = set(map(_flag, argv))
    for name, value in vars(arguments).items():
        flag = f"--{name.replace('_', '-')}"
        if value == () and flag in given:
            raise InputError(f"{flag} has no value; give at least one after it, or leave it out.")
    return arguments


def refuse_unclear(argv: Sequence[str]) -> None:
    """Raises InputError for a flag that is given twice, of which the parser would keep the last, and for empty words.

    This is the rule of all verbs, also for a flag that takes several values: they follow it in one place.
    """
    given: set[str] = set()
    flag = None
    for word in argv:
        if word == "--":  # the words after it are no flags
            return
        if (name := _flag(word)) is not None:
            flag = name
            if flag in given:
                raise InputError(f"{flag} is given twice; give it once, with all its values after it.")
            given.add(flag)
        if not word.strip() or (name is not None and not word.partition("=")[2].strip() and "=" in word):
            what = "An argument" if flag is None else f"An argument after {flag}"
            raise InputError(f"{what} is empty, perhaps a variable that is not set; give a value, or leave it out.")


def _flag(word: str) -> str | None:
    """Returns the flag of a word such as "--batch_size=2", in the form that the help shows, or None."""
    return word.partition("=")[0].replace("_", "-") if word.startswith("--") else None


def require_device(device: str | None) -> None:
    """Raises InputError for a device that torch does not find here."""
    from uncrowd.devices import choose_device  # which imports torch

    choose_device(device)
