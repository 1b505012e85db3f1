"""The weights file that a verb writes."""

from pathlib import Path

from uncrowd.errors import InputError


def require_weights_file(destination: Path, source: Path) -> None:
    """Raises InputError, before any work is done, where no weights made of `source` can be written."""
    if destination.suffix != ".safetensors":
        raise InputError(f"{destination} names no weights file; end its name in .safetensors.")
    sources = [source, source / "weights.safetensors"]  # of a run's folder
    if destination.resolve() in {file.resolve() for file in sources}:
        raise InputError(f"{destination} is what is to be read, and stays as it is; name another file.")
