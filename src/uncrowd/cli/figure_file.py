"""The file a figure is written to."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from uncrowd.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg")


def require_figure_file(out: Path, *inputs: Path) -> None:
    """Raises InputError, before any work is done, when no figure can be written to `out`.

    inputs: what the figure is made of, and must not be overwritten.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"{out} names no PNG or JPEG file; give --out a name that ends in .png or .jpg.")
    if out.is_dir() or not out.parent.is_dir():
        raise InputError(f"{out} cannot be written; --out names a file in a folder that exists.")
    if out.resolve() in {file.resolve() for file in inputs}:
        raise InputError(f"{out} is one of the images and would be overwritten; name another file with --out.")


def save_figure(out: Path, figure: UInt8[np.ndarray, "h w 3"]) -> None:
    """Writes it as PNG or JPEG, by its suffix. Raises InputError when that fails."""
    try:
        Image.fromarray(figure).save(out, quality=95)  # PNG does not look at the quality
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror or error}); name another file.") from error
