"""The file to write something made of weights to."""

from pathlib import Path

from uncrowd.errors import InputError


def require_destination(destination: Path, source: Path, what: str, ending: str) -> None:
    """Raises InputError, before any work is done, when `destination` is no place for a file made of `source`.

    what, ending: the kind of file in words, and the ending its name must have, such as "weights file", ".safetensors".
    """
    if destination.suffix.lower() != ending:
        raise InputError(f"{destination} names no {what}; end its name in {ending}.")
    sources = [source, source / "weights.safetensors"]  # of a run's folder
    if destination.resolve() in {file.resolve() for file in sources}:
        raise InputError(f"{destination} is what is to be read, and stays as it is; name another file.")
