"""A TIFF that is read some rows at a time has the pixels that it has when it is read whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from uncrowd.data.images.read import read_content, read_image, read_tiff_rows
from uncrowd.data.images.tiff_rows import TiffRows
from uncrowd.errors import InputError

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

HEIGHT, WIDTH = 70, 83
SAMPLES = {"grey": 1, "rgb": 3, "rgba": 4}
LAYOUTS = {"tiles": {"tile": (32, 48)}, "strips": {"rowsperstrip": 9}}
CODES = {
    "plain": {},
    "deflate": {"compression": "zlib", "predictor": True},
    "lzw": {"compression": "lzw"},
    "big": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
}


def write(path: Path, samples: int = 3, dtype: str = "uint8", **options: Any) -> Path:
    """Writes smooth colours with some noise."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 0.9, HEIGHT)[:, None, None] * np.linspace(1, 0.3, WIDTH)[:, None]
    values = (ramp + rng.uniform(0, 0.1, (HEIGHT, WIDTH, samples))) * np.iinfo(dtype).max
    pixels = values.astype(dtype)[..., 0] if samples == 1 else values.astype(dtype)
    extra = {"extrasamples": ["unassalpha"]} if samples == 4 else {}
    tifffile.imwrite(path, pixels, photometric="minisblack" if samples == 1 else "rgb", **extra, **options)
    return path


def in_pieces(rows: TiffRows) -> np.ndarray:
    """Reads 20 rows at a time, each time with the last 4 of those before."""
    pieces = [rows.rows(top, min(top + 20, HEIGHT))[4 * (top > 0) :] for top in range(0, HEIGHT - 4, 16)]
    return np.concatenate(pieces)


def opened(path: Path, **given: Any) -> TiffRows:
    rows = read_tiff_rows(path, **given)
    assert rows is not None
    return rows


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("code", CODES)
def test_the_pixels_are_those_of_the_whole(tmp_path: Path, layout: str, samples: str, dtype: str, code: str) -> None:
    if (samples, dtype) == ("rgba", "uint16") and code == "big-endian":
        code = "plain"  # which Pillow reads
    path = write(tmp_path / "a.tif", SAMPLES[samples], dtype, **LAYOUTS[layout], **CODES[code])
    rows, content = opened(path), read_content(path)
    assert rows.size == content.displayed == (HEIGHT, WIDTH)
    assert np.array_equal(in_pieces(rows), content.pixels)
    assert rows.notes() == content.notes() == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_jpeg_in_a_tiff_differs_by_rounding(tmp_path: Path, layout: str) -> None:
    options = {"tiles": {"tile": (32, 48)}, "strips": {"rowsperstrip": 16}}[layout]
    path = write(tmp_path / "a.tif", compression="jpeg", compressionargs={"level": 95}, **options)
    difference = in_pieces(opened(path)).astype(int) - read_image(path)
    assert np.abs(difference).max() <= 3


def test_only_the_tiles_of_the_rows_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = opened(write(tmp_path / "a.tif", tile=(16, 16)))
    decoded: list[int] = []
    decode = rows._decode
    monkeypatch.setattr(rows, "_decode", lambda number: decoded.append(number) or decode(number))
    rows.rows(20, 33)
    assert decoded == list(range(6, 18))  # six tiles across, rows 16 to 47


def test_tiles_that_were_never_written_are_black(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tiles = iter([np.full((16, 16, 3), 9, np.uint8), None, None, np.full((16, 16, 3), 7, np.uint8)])
    tifffile.imwrite(path, tiles, shape=(32, 32, 3), dtype="uint8", tile=(16, 16), photometric="rgb")
    read = opened(path).rows(0, 32)
    assert [read[0, 0, 0], read[0, 20, 0], read[20, 20, 0]] == [9, 0, 7]


def test_what_is_to_be_said_is_said_after_reading(tmp_path: Path) -> None:
    grey = np.linspace(0, 4095, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for _ in range(2):
            file.write(grey, tile=(32, 32), photometric="minisblack", metadata=None)
    rows = opened(path)
    in_pieces(rows)
    assert rows.notes() == read_content(path).notes()
    assert len(rows.notes()) == 2


@pytest.mark.parametrize("kind", ["inverted", "one strip"])
def test_other_tiffs_are_read_whole(tmp_path: Path, kind: str) -> None:
    options = {"tile": (32, 32), "photometric": "miniswhite"} if kind == "inverted" else {"rowsperstrip": HEIGHT}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((HEIGHT, WIDTH), np.uint8), **options)
    assert read_tiff_rows(tmp_path / "a.tif") is None
    assert read_image(tmp_path / "a.tif").shape == (HEIGHT, WIDTH, 3)


def test_turned_images_and_other_formats_are_read_whole(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, options in {"a.tif": {"exif": exif}, "a.png": {}}.items():
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / name, **options)
        assert read_tiff_rows(tmp_path / name) is None


def test_a_record_of_another_size_is_refused_when_read_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", tile=(32, 32))
    assert opened(path, size=(HEIGHT, WIDTH)).size == (HEIGHT, WIDTH)
    assert read_tiff_rows(path, (HEIGHT, 9)) is None


def test_without_the_extra_tiffs_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.tif", tile=(32, 32))
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    assert read_tiff_rows(path) is None


def test_damaged_and_too_large_files_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", tile=(32, 32), compression="zlib")
    with pytest.raises(InputError, match=r"a\.tif: the image has more than 100 pixels, which is the limit"):
        read_tiff_rows(path, max_pixels=100)
    content = bytearray(path.read_bytes())
    page = tifffile.TiffFile(path).pages.first
    content[page.dataoffsets[4] : page.dataoffsets[4] + 40] = bytes(40)
    path.write_bytes(content)
    rows = opened(path)
    assert rows.rows(0, 32).shape == (32, WIDTH, 3)
    with pytest.raises(InputError, match=r"a\.tif cannot be read as an image \(.*; replace the file or leave it out"):
        rows.rows(30, 40)
