"""What is an image file is opened, from wherever it comes; anything else is refused in a sentence before it is read."""

import io
import os
import socket
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uncrowd.data.images.file import MAX_PIXELS, is_image_file, open_image
from uncrowd.data.images.read import image_sizes, read_image
from uncrowd.errors import InputError

PIXELS = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


@pytest.fixture
def png(tmp_path: Path) -> Path:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_bytes_and_open_files_are_read_like_the_file(png: Path) -> None:
    content = png.read_bytes()
    assert np.array_equal(read_image(content), PIXELS)
    for file in (io.BytesIO(content), png.open("rb")):
        with file:
            assert np.array_equal(read_image(file), PIXELS)
            assert np.array_equal(read_image(file), PIXELS), "it stays open, and is read from its beginning"


def test_bytes_and_open_files_that_are_no_image_are_said(png: Path) -> None:
    with pytest.raises(InputError, match=r"An image given as bytes cannot be read as an image \(no known image format"):
        read_image(b"no image")
    with png.open("rb") as file, pytest.raises(InputError, match=r"file .*a\.png: the image is 6x4 pixels, but its"):
        read_image(file, size=(1, 1))
    with png.open("r") as text, pytest.raises(InputError, match=r"a\.png is open as text; open it with mode 'rb'"):
        read_image(text)  # pyright: ignore[reportArgumentType]
    file.close()
    with pytest.raises(InputError, match=r"a\.png cannot be read as an image \(.*closed file"):
        read_image(file)


@pytest.mark.parametrize("read", [read_image, image_sizes])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, read, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.png")
    for path, kind in {
        tmp_path / "pipe.png": "is a named pipe, not an image file",
        tmp_path / "socket.png": "is a socket, not an image file",
        Path("/dev/zero"): "is a device, not an image file",
        tmp_path: "is a folder, not an image file",
        tmp_path / "loop.png": "cannot be read as an image",
        tmp_path / "a\0b.png": "cannot be read as an image",
        tmp_path / ("x" * 300): "cannot be read as an image",
    }.items():
        with pytest.raises(InputError, match=kind):
            read(path)


def test_the_limit_is_said_and_can_be_moved(png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_image(png, max_pixels=24)
    with pytest.raises(InputError, match=r"a\.png: the image has more than 23 pixels, which is the limit; cut it into"):
        read_image(png, max_pixels=23)
    assert 2 * (Image.MAX_IMAGE_PIXELS or 0) == MAX_PIXELS, "the limit is Pillow's"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)  # of the process; Pillow refuses more than twice as many
    with pytest.raises(InputError, match=r"more than 10 pixels, which is the limit; .*--max-pixels, in Python max_"):
        read_image(png)
    read_image(png, max_pixels=MAX_PIXELS + 1)


def test_pillow_s_warnings_and_limit_are_those_of_the_caller_again(
    png: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """Of two threads, the first to close its image leaves the settings to the other."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    before = list(warnings.filters)
    first, second = open_image(png), open_image(png, MAX_PIXELS + 1)
    with ThreadPoolExecutor(2) as threads:
        image = threads.submit(first.__enter__).result()
        threads.submit(second.__enter__).result()
        threads.submit(first.__exit__, None, None, None).result()
        assert (Image.MAX_IMAGE_PIXELS, warnings.filters == before) == (MAX_PIXELS // 2 + 1, False)
        threads.submit(second.__exit__, None, None, None).result()
    assert (Image.MAX_IMAGE_PIXELS, warnings.filters) == (20, before)
    assert (image.size, recwarn.list) == ((6, 4), [])
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(png)


@pytest.mark.skipif(".heic" in Image.registered_extensions(), reason="pillow-heif reads it")
def test_heic_is_named_with_the_plugin_that_reads_it(tmp_path: Path) -> None:
    for name in ("a.HEIC", "a.jpg", "a"):
        (tmp_path / name).write_bytes(HEIC)
        with pytest.raises(InputError, match=rf"{name} is a HEIC image, which cannot be read here; pip install pillow"):
            read_image(tmp_path / name)
        assert is_image_file(tmp_path / name)


def test_the_preview_in_a_camera_raw_file_is_not_taken_for_the_image(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.NEF", format="TIFF")
    with pytest.raises(InputError, match=r"a\.NEF is camera raw, which is not read; save it as JPEG"):
        read_image(tmp_path / "a.NEF")


def test_what_is_an_image_file(png: Path, tmp_path: Path) -> None:
    for name in ("a.JPG", "a.tif", "a.jfif", "a.webp", "a.nef", "a.avif"):
        assert is_image_file(tmp_path / name)
    for name in ("a.txt", "a.mov", "a.json"):
        assert not is_image_file(tmp_path / name)
    (tmp_path / "image").write_bytes(png.read_bytes())
    (tmp_path / "README").write_text("no image")
    os.mkfifo(tmp_path / "pipe")
    assert is_image_file(tmp_path / "image")
    for name in ("README", "pipe", "nowhere"):
        assert not is_image_file(tmp_path / name)
