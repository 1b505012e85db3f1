"""Reads a TIFF some rows at a time: only the tiles or strips that hold them are decoded."""

from math import ceil, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from uncrowd.data.images.notes import notes_on
from uncrowd.errors import InputError

if TYPE_CHECKING:
    from tifffile import TiffFile

GREY, RGB, YCBCR, JPEG = 1, 2, 6, 7  # values of PhotometricInterpretation, and of Compression


class TiffRows:
    """The first image of a TIFF, tiled or in strips, grey or RGB with 8 or 16 bits; alpha is dropped.

    size: (height, width). pages: how many images the file has. brightest: the largest value of 16-bit pixels in the
    rows read so far, None for others. The file stays open as long as this object lives.
    """

    def __init__(self, path: Path, file: "TiffFile", pages: int) -> None:
        self._path, self._file, self._page = path, file, file.pages.first
        self.size: tuple[int, int] = self._page.imagelength, self._page.imagewidth
        self.pages = pages
        self.brightest: int | None = 0 if self._page.bitspersample == 16 else None

    def rows(self, top: int, bottom: int) -> UInt8[np.ndarray, "h w 3"]:
        """Returns the rows from `top` up to `bottom` as RGB. Raises InputError where the file is damaged."""
        read = np.zeros((bottom - top, self.size[1], 3), np.uint8)
        height = self._page.chunks[0]
        across = prod(self._page.chunked) // ceil(self.size[0] / height)
        for number in range(top // height * across, ceil(bottom / height) * across):
            try:
                pixels, (_, _, y, x, _), (_, rows, columns, _) = self._decode(number)
            except Exception as error:  # on damaged bytes the decoders raise nearly anything
                raise InputError(
                    f"{self._path} cannot be read as an image ({error}); replace the file or leave it out."
                ) from error
            if pixels is not None:  # a tile that was never written is black
                first, last, right = max(top, y), min(bottom, y + rows), min(self.size[1], x + columns)
                colours = self._to_rgb(pixels[0, first - y : last - y, : right - x])
                read[first - top : last - top, x:right] = colours
        return read

    def notes(self) -> list[str]:
        """See `ImageRows`."""
        return notes_on(self.pages, self.brightest)

    def _decode(self, number: int) -> Any:
        page, handle = self._page, self._file.filehandle
        if not page.databytecounts[number]:
            return page.decode(None, number)
        handle.seek(page.dataoffsets[number])
        content = handle.read(page.databytecounts[number])
        tables = {"jpegtables": page.jpegtables} if page.compression == JPEG else {}
        return page.decode(content, number, **tables)

    def _to_rgb(self, pixels: np.ndarray) -> UInt8[np.ndarray, "h w c"]:
        """Converts (h, w, samples) as `to_rgb` does: 16-bit grey is divided by 257, colours keep their upper 8 bits."""
        colours = pixels[..., :3] if self._page.photometric != GREY else pixels[..., :1]
        if self.brightest is None:
            return colours
        self.brightest = max(self.brightest, int(colours.max()))
        if self._page.photometric == GREY:
            return ((colours.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return (colours >> 8).astype(np.uint8)


def tiff_rows(path: Path, pages: int) -> TiffRows | None:
    """Returns the rows of a TIFF, or None where it is of another kind or `uncrowd[tiff]` is not installed.

    pages: how many images the file has.
    """
    try:
        import imagecodecs  # noqa: F401, with which tifffile decodes
        from tifffile import TiffFile
    except ModuleNotFoundError:
        return None
    try:
        file = TiffFile(path)
        page = file.pages.first
    except Exception:  # what reads the whole file says what is wrong with it
        return None
    if _is_read(page):
        return TiffRows(path, file, pages)
    file.close()
    return None


def _is_read(page: Any) -> bool:
    colours = page.photometric == RGB or (page.photometric == YCBCR and page.compression == JPEG)
    return (
        (colours or page.photometric == GREY)
        and page.dtype in ("uint8", "uint16")
        and page.bitspersample == 8 * np.dtype(page.dtype).itemsize
        and page.planarconfig == 1
        and page.imagedepth == 1
        and page.chunks[0] < page.imagelength  # a single strip would be decoded whole
    )
