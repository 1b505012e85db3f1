"""The destination of a file that is made from weights."""

from pathlib import Path

from uncrowd.errors import InputError
from uncrowd.overwriting import refuse_overwriting


def require_destination(destination: Path, source: Path | None, what: str, *endings: str, replace: bool = True) -> None:
    """Raises InputError, before any work is done, when `destination` cannot take a file made from `source`.

    source: a file or a run's folder; None if it is neither. what, endings: the kind of file in words, and the endings
    that its name may have, such as "a weights file" and ".safetensors". replace: whether `destination` may exist
    already.
    """
    if destination.suffix.lower() not in endings:
        raise InputError(f"{destination} is not the name of {what}; end its name in {' or '.join(endings)}.")
    sources = [] if source is None else [source, source / "weights.safetensors"]  # the latter of a run's folder
    refuse_overwriting([destination], sources, replace=replace)
