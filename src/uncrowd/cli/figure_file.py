"""Checks and writes the file of a figure."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from uncrowd.data.dataset import DetectionDataset
from uncrowd.errors import InputError
from uncrowd.overwriting import refuse_overwriting

SUFFIXES = (".png", ".jpg", ".jpeg")


def require_figure_file(out: Path, *inputs: Path, flag: str = "--out") -> None:
    """Raises InputError when no figure can be written to `out`; verbs call it before they begin their work.

    inputs: files that the figure is made from and that must not be overwritten. flag: that which names the file.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"{out} is not the name of a PNG or JPEG file; give {flag} a name that ends in .png or .jpg.")
    if out.is_dir() or not out.parent.is_dir():
        raise InputError(f"{out} cannot be written; {flag} names a file in a folder that exists.")
    refuse_overwriting([out], inputs, mend=f"name another file with {flag}")


def images_named(name: str, datasets: Iterable[DetectionDataset]) -> list[Path]:
    """Returns the images of the datasets whose files have this name: those that a figure of this name may overwrite."""
    return [
        dataset.path(index)
        for dataset in datasets
        for index, file_name in enumerate(dataset.file_names)
        if Path(file_name).name == name
    ]


def save_figure(out: Path, figure: UInt8[np.ndarray, "h w 3"]) -> None:
    """Writes the figure as PNG or JPEG, by its suffix. Raises InputError when it cannot be written."""
    try:
        Image.fromarray(figure).save(out, quality=95)  # PNG ignores the quality
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror or error}); name another file.") from error
