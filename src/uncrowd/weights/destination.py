"""The destination of a file that is made from weights."""

from pathlib import Path

from uncrowd.errors import InputError
from uncrowd.overwriting import refuse_overwriting


def require_destination(destination: Path, source: Path, what: str, *endings: str) -> None:
    """Raises InputError, before any work is done, when `destination` cannot take a file made from `source`.

    what, endings: the kind of file in words, and the endings that its name may have, such as "a weights file" and
    ".safetensors".
    """
    if destination.suffix.lower() not in endings:
        raise InputError(f"{destination} is not the name of {what}; end its name in {' or '.join(endings)}.")
    refuse_overwriting([destination], [source, source / "weights.safetensors"])  # the latter of a run's folder
