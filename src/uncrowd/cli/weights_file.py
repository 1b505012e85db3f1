"""The file that a verb makes of weights."""

from pathlib import Path

from uncrowd.errors import InputError


def require_weights_file(destination: Path, source: Path) -> None:
    """Raises InputError, before any work is done, where no weights made of `source` can be written."""
    _require(destination, source, "weights file", ".safetensors")


def require_onnx_file(destination: Path, source: Path) -> None:
    """Raises InputError, before any work is done, where no ONNX file made of `source` can be written."""
    _require(destination, source, "ONNX file", ".onnx")


def _require(destination: Path, source: Path, what: str, ending: str) -> None:
    if destination.suffix.lower() != ending:
        raise InputError(f"{destination} names no {what}; end its name in {ending}.")
    sources = [source, source / "weights.safetensors"]  # of a run's folder
    if destination.resolve() in {file.resolve() for file in sources}:
        raise InputError(f"{destination} is what is to be read, and stays as it is; name another file.")
