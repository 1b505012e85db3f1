"""Refuses, before any work is done, to overwrite what the user gave or what an earlier call wrote."""

from collections.abc import Hashable, Iterable
from os.path import realpath
from pathlib import Path

from uncrowd.errors import InputError


def refuse_overwriting(
    targets: Iterable[Path], inputs: Iterable[Path], *, mend: str = "name another file", replace: bool = True
) -> None:
    """Raises InputError for a target that is one of the inputs, under whatever name.

    mend: what the sentence tells the user to do. replace: whether a target may exist already.
    """
    originals = set(map(_identity, inputs))
    for target in targets:
        if _identity(target) in originals:
            raise InputError(f"{target} is one of the inputs and would be overwritten; {mend}.")
        if not replace and target.exists():
            raise InputError(f"{target} exists already; {mend}, or replace it with --overwrite.")


def _identity(path: Path) -> Hashable:
    try:
        status = path.stat()
    except OSError:  # it does not exist, or is a link that leads to itself
        return realpath(path)
    return status.st_dev, status.st_ino  # also of a hard link
