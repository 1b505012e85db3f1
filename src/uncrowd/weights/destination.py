"""The destination of a file that is made from weights."""

from os.path import realpath
from pathlib import Path

from uncrowd.errors import InputError


def require_destination(destination: Path, source: Path, what: str, ending: str) -> None:
    """Raises InputError, before any work is done, when `destination` cannot take a file made from `source`.

    what, ending: the kind of file in words, and the ending of its name, such as "a weights file", ".safetensors".
    """
    if destination.suffix.lower() != ending:
        raise InputError(f"{destination} is not the name of {what}; end its name in {ending}.")
    sources = [source, source / "weights.safetensors"]  # of a run's folder
    if realpath(destination) in map(realpath, sources):
        raise InputError(f"{destination} is the input and would be overwritten; name another file.")
