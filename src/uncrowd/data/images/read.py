"""Reads an image file as an RGB array, in the orientation in which its record in the dataset gives its size."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import TiffImageFile

from uncrowd.data.images.file import MAX_PIXELS, MAX_PIXELS_IN_TILES, ImageSource, open_image
from uncrowd.data.images.notes import is_dark, notes_on
from uncrowd.data.images.tiff_rows import TiffRows, tiff_rows
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
# So many pixels are converted to RGB at once, because Pillow and NumPy each copy what is converted.
BAND_PIXELS = 500_000
# Of these formats the first image is the whole; those after it are previews or layers.
_ONE_IMAGE = ("MPO", "PSD")


class ImageContent(NamedTuple):
    """What was read from an image file.

    stored, displayed: (height, width) without and with EXIF. turned: whether EXIF turns or mirrors it. pages: how many
    images the file has; the first is read. brightest: the largest value of 16-bit pixels, None for others.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    stored: tuple[int, int]
    displayed: tuple[int, int]
    turned: bool
    pages: int
    brightest: int | None

    @property
    def dark(self) -> bool:
        """Whether 16-bit pixels use so little of their range that the image is hardly visible."""
        return is_dark(self.brightest)

    def notes(self) -> list[str]:
        """Returns what was left out and what makes the image hardly visible, without the name of the file."""
        return notes_on(self.pages, self.brightest)


def read_image(
    source: ImageSource, size: tuple[int, int] | None = None, *, max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "h w 3"]:
    """Reads an image as RGB, 0-255, in the orientation that fits its record in the dataset.

    size: (height, width) of the record. If only the stored or only the EXIF orientation has that size, the image is
    returned in it. If both have it (a square image, a half turn), or no size is given, EXIF is applied. max_pixels:
    width times height up to which an image is decoded.

    Raises InputError when the file is missing, damaged, too large or no image, or when neither orientation has that
    size.
    """
    return read_content(source, size, max_pixels=max_pixels).pixels


def read_content(
    source: ImageSource, size: tuple[int, int] | None = None, *, max_pixels: int = MAX_PIXELS
) -> ImageContent:
    """Reads an image as `read_image` does, and what else is to be known about the file."""
    with open_image(source, max_pixels) as image:
        has_16_bits = image.mode.startswith("I") or ";16" in str(getattr(image, "tile", ""))
        orientation, turned_by_pillow = _load(image)
        stored, displayed = _sizes(image, orientation)
        if size is not None and tuple(size) not in (stored, displayed):
            raise InputError(
                f"the image is {_by(stored)} pixels, but its record says {_by(size)}; correct width and height "
                f"in the annotations or restore the original image."
            )
        if size is None or tuple(size) == displayed:
            wanted = image if turned_by_pillow else _turn(image, orientation)
        else:
            wanted = _turn(image, _INVERSE.get(orientation, orientation)) if turned_by_pillow else image
        pixels = to_rgb(wanted)
        return ImageContent(
            pixels,
            stored,
            displayed,
            turned=orientation in _UPRIGHT,
            pages=_pages(image),
            brightest=_brightest(image, pixels) if has_16_bits else None,
        )


def read_tiff_rows(
    source: Path, size: tuple[int, int] | None = None, *, max_pixels: int = MAX_PIXELS
) -> TiffRows | None:
    """Returns the rows of an image that need not be decoded whole, or None; `read_image` reads any.

    These are TIFFs in tiles or strips that are not turned by EXIF, if `uncrowd[tiff]` is installed. size, max_pixels:
    see `read_image`, which also raises where the size is another. Raises InputError when the file is missing, too
    large or no image.
    """
    with open_image(source, max_pixels) as image:
        if not isinstance(image, TiffImageFile) or _orientation(image) in _UPRIGHT:
            return None
        rows = tiff_rows(source, _pages(image))
    return rows if rows is not None and size in (None, rows.size) else None


def image_sizes(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns (height, width) as stored and as displayed after EXIF.

    It reads only the header of the file, so that it does not know the orientation of a PNG that gives it last. Raises
    InputError when the file is missing, too large or no image.
    """
    with open_image(source, max_pixels) as image:
        return _sizes(image, _orientation(image))


def displayed_sizes(paths: Sequence[Path]) -> list[tuple[int, int] | InputError]:
    """Returns (height, width) of each image as displayed after EXIF, or the error of a header that cannot be read."""
    with ThreadPoolExecutor() as pool:  # the time goes into waiting for the disk: minutes for 15,000 headers
        return list(pool.map(_displayed_size, paths))


def upright(image: Image.Image) -> Image.Image:
    """Loads an image and applies its EXIF orientation; returns the same object if there is nothing to turn."""
    orientation, turned_by_pillow = _load(image)
    return image if turned_by_pillow else _turn(image, orientation)


def to_rgb(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """Converts an image of any mode to RGB, 0-255; does not apply its EXIF orientation.

    16-bit grey is scaled down by 257, not clipped. Transparency is dropped, not blended with a background: the colours
    stored below it are returned. Raises InputError for pixels that have no known range (floats, beyond 16 bits).
    """
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = _band_to_rgb(image.crop((0, top, image.width, bottom)))
    return pixels


def _band_to_rgb(image: Image.Image) -> UInt8[np.ndarray, "h w #channels"]:
    """See `to_rgb`. Grey of more than 8 bits has one channel."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise InputError("the image has pixels of more than 16 bits; save it with 8 or 16 bits.")
        return ((grey + 128) // 257).astype(np.uint8)[..., None]
    if image.mode == "F":
        raise InputError("the image has floating-point pixels of unknown range; save it with 8 or 16 bits.")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns about the transparency that is dropped anyway
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _displayed_size(path: Path) -> tuple[int, int] | InputError:
    try:
        # No pixel is decoded; what is too large for that is told when it is read.
        return image_sizes(path, max_pixels=MAX_PIXELS_IN_TILES)[1]
    except InputError as error:
        return error


def _load(image: Image.Image) -> tuple[int, bool]:
    """Decodes an image; returns its EXIF orientation and whether Pillow has applied it, as it does to a TIFF."""
    if isinstance(image, TiffImageFile):
        orientation = _orientation(image)  # Pillow forgets it once it has turned the pixels
        image.load()
        return orientation, True
    image.load()
    return _orientation(image), False


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _orientation(image: Image.Image) -> int:
    try:
        # The base class's method: PNG's own decodes all pixels first, in case the tags come after them.
        return Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged tags do not make good pixels unusable
        return 1


def _sizes(image: Image.Image, orientation: int) -> tuple[tuple[int, int], tuple[int, int]]:
    height, width = image.height, image.width
    if isinstance(image, TiffImageFile):  # its `size` is the displayed one, before it is loaded as well
        height, width = image.tag_v2[ExifTags.Base.ImageLength], image.tag_v2[ExifTags.Base.ImageWidth]
    return (height, width), (width, height) if orientation in (5, 6, 7, 8) else (height, width)


def _pages(image: Image.Image) -> int:
    try:
        return 1 if image.format in _ONE_IMAGE else getattr(image, "n_frames", 1)
    except Exception:  # the first one is good, whatever follows
        return 1


def _brightest(image: Image.Image, pixels: UInt8[np.ndarray, "h w 3"]) -> int:
    if image.mode.startswith("I"):
        return int(np.asarray(image).max())
    return int(pixels.max()) * 256 + 255  # Pillow keeps the upper 8 bits of colours


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
