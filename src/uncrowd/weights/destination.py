"""The destination of a file that is made from weights."""

from pathlib import Path

from uncrowd.errors import InputError
from uncrowd.overwriting import refuse_overwriting


def require_destination(destination: Path, source: Path, what: str, ending: str) -> None:
    """Raises InputError, before any work is done, when `destination` cannot take a file made from `source`.

    what, ending: the kind of file in words, and the ending of its name, such as "a weights file", ".safetensors".
    """
    if destination.suffix.lower() != ending:
        raise InputError(f"{destination} is not the name of {what}; end its name in {ending}.")
    refuse_overwriting([destination], [source, source / "weights.safetensors"])  # the latter of a run's folder
