"""Reads an image file as an RGB array, in the orientation in which its record in the dataset gives its size."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import TiffImageFile

from uncrowd.errors import InputError

# What undoes each EXIF orientation. ImageOps.exif_transpose does the same, but also rewrites the other tags, and fails
# where a camera wrote an odd one.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The orientation that undoes each; the others undo themselves.
_INVERSE = {6: 8, 8: 6}


def read_image(path: Path, size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """Reads an image as RGB, 0-255, in the orientation that fits its record in the dataset.

    size: (height, width) of the record. If only the stored or only the EXIF orientation has that size, the image is
    returned in it. If both have it (a square image, a half turn), or no size is given, EXIF is applied.

    Raises InputError when the file is missing, damaged or no image, or when neither orientation has that size.
    """
    try:
        with Image.open(path) as image:
            stored, displayed = _sizes(image)
            if size is not None and tuple(size) not in (stored, displayed):
                raise InputError(
                    f"the image is {_by(stored)} pixels, but its record says {_by(size)}; correct width and height "
                    f"in the annotations or restore the original image."
                )
            return to_rgb(_as_stored(image) if size is not None and tuple(size) != displayed else upright(image))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # on damaged bytes Pillow's decoders raise nearly anything
        raise _unreadable(path, error) from error


def image_sizes(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns (height, width) as stored and as displayed after EXIF; reads only the header of the file.

    Raises InputError when the file is missing or no image.
    """
    try:
        with Image.open(path) as image:
            return _sizes(image)
    except Exception as error:  # as above
        raise _unreadable(path, error) from error


def upright(image: Image.Image) -> Image.Image:
    """Loads an image and applies its EXIF orientation; returns the same object if there is nothing to turn."""
    image.load()  # first, because Pillow turns a TIFF while loading it, and then forgets the orientation
    turn = _UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def is_turned(path: Path) -> bool:
    """Returns whether EXIF turns or mirrors the image; reads only the header and raises as `image_sizes` does."""
    try:
        with Image.open(path) as image:
            return _orientation(image) in _UPRIGHT
    except Exception as error:  # as above
        raise _unreadable(path, error) from error


def to_rgb(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """Converts an image of any mode to RGB, 0-255; does not apply its EXIF orientation.

    16-bit grey is scaled down by 257, not clipped. Transparency is dropped, not blended with a background: the colours
    stored below it are returned. Raises InputError for pixels that have no known range (floats, beyond 16 bits).
    """
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise InputError("the image has pixels of more than 16 bits; save it with 8 or 16 bits.")
        return np.repeat(((grey + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise InputError("the image has floating-point pixels of unknown range; save it with 8 or 16 bits.")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns about the transparency that is dropped anyway
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))  # Pillow copies what it converts


def _as_stored(image: Image.Image) -> Image.Image:
    orientation = _orientation(image)
    image.load()
    if _orientation(image) == orientation:
        return image
    return image.transpose(_UPRIGHT[_INVERSE.get(orientation, orientation)])  # a TIFF, which Pillow has turned


def _orientation(image: Image.Image) -> int:
    try:
        # The base class's method: PNG's own decodes all pixels first, in case the tags come after them.
        return Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged tags do not make good pixels unusable
        return 1


def _sizes(image: Image.Image) -> tuple[tuple[int, int], tuple[int, int]]:
    height, width = image.height, image.width
    if isinstance(image, TiffImageFile):  # its `size` is the displayed one even before it is loaded and turned
        height, width = image.tag_v2[ExifTags.Base.ImageLength], image.tag_v2[ExifTags.Base.ImageWidth]
    return (height, width), (width, height) if _orientation(image) in (5, 6, 7, 8) else (height, width)


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path} does not exist; put the image there or correct its name.")
    reason = str(error).rstrip(".") or type(error).__name__
    return InputError(f"{path} cannot be read as an image ({reason}); replace the file or leave it out.")
