"""What an image can be given as in Python, and how it becomes RGB pixels."""

import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from uncrowd.data.images.file import MAX_PIXELS, BinaryFile
from uncrowd.data.images.read import image_sizes, read_content, read_tiff_rows, to_rgb, upright
from uncrowd.data.images.rows import ImageRows, PixelRows
from uncrowd.errors import InputError

# A path, the bytes of an image file, such a file open for reading, or pixels. Arrays are (h, w, 3), tensors (3, h, w),
# both uint8; others are refused in a sentence.
ImageLike = str | Path | bytes | BinaryFile | ImageRows | Image.Image | np.ndarray | Tensor


def to_pixels(image: ImageLike, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "h w 3"]:
    """Returns an image as RGB, turned as EXIF says.

    max_pixels: width times height up to which a file is decoded. Warns of a file of several pages, of which the first
    is read, and of 16-bit pixels that become dark. Raises InputError for an image that cannot be read or is given in
    another form.
    """
    match image:
        case str() | Path() | bytes() | BinaryFile():
            content = read_content(Path(image) if isinstance(image, str) else image, max_pixels=max_pixels)
            warn_of(image, content.notes())
            return content.pixels
        case ImageRows():
            return image.rows(0, image.size[0])
        case Image.Image():
            return to_rgb(_upright_pil(image))
        case Tensor() if image.dtype == torch.uint8 and image.dim() == 3 and len(image) == 3 and image.numel():
            return image.permute(1, 2, 0).cpu().numpy()
        case np.ndarray() if image.dtype == np.uint8 and image.shape[2:] == (3,) and image.size:
            return image
        case Tensor() | np.ndarray():
            form = f"{image.dtype} of shape {tuple(image.shape)}"
        case _:
            form = type(image).__name__
    raise InputError(
        f"An image is given as {form}; give a path, bytes, an open file, a PIL image, or uint8 RGB: (h, w, 3) as "
        "array, (3, h, w) as tensor."
    )


def to_rows(image: ImageLike, max_pixels: int = MAX_PIXELS) -> ImageRows:
    """Returns an image that is read some rows at a time where the file allows it; otherwise as `to_pixels` does."""
    if isinstance(image, ImageRows):
        return image
    rows = read_tiff_rows(Path(image), max_pixels=max_pixels) if isinstance(image, str | Path) else None
    return rows or PixelRows(to_pixels(image, max_pixels))


def warn_of(image: ImageLike, notes: list[str]) -> None:
    """Warns of what `notes` say of an image."""
    for note in notes:
        name = image if isinstance(image, str | Path) else "an image that is given without a path"
        warnings.warn(f"{name}: {note}", stacklevel=3)


def size_of(image: ImageLike, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Returns (height, width) of `to_pixels(image)`, read from the header of a path or bytes; raises as that does."""
    match image:
        case str() | Path() | bytes():
            return image_sizes(Path(image) if isinstance(image, str) else image, max_pixels=max_pixels)[1]
        case Image.Image():
            turned = _upright_pil(image)
            return turned.height, turned.width
        case _:
            height, width = to_pixels(image, max_pixels).shape[:2]
            return height, width


def _upright_pil(image: Image.Image) -> Image.Image:
    if not image.width or not image.height:
        raise InputError(f"An image given as PIL image has {image.width} x {image.height} pixels.")
    try:
        return upright(image)
    except Exception as error:  # of a file that is closed or damaged, which Pillow only now reads
        raise InputError(f"An image given as PIL image cannot be read ({error}).") from error
