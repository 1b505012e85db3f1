"""Any file a person can look at becomes RGB, 0-255, the way round its record says; anything else one sentence."""

import io
import struct
import warnings
import zlib
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from uncrowd.data.images.read import displayed_sizes, image_sizes, read_content, read_image, to_rgb, upright
from uncrowd.errors import InputError

HEIGHT, WIDTH = 4, 6


def gradient() -> np.ndarray:
    """An image none of whose turns and mirrorings looks like another."""
    return np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3) * 3


def save(path: Path, image: Image.Image, orientation: int | None = None) -> Path:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


def test_rgb_comes_back_as_it_was(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(gradient()))
    image = read_image(path)
    assert np.array_equal(image, gradient())
    image[0, 0] = 0  # one's own copy: torch.from_numpy does not warn


@pytest.mark.parametrize("pixels", [1, 2 * WIDTH + 1])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK", "P", "I;16"])
def test_conversion_in_bands_is_that_of_the_whole(monkeypatch, mode, pixels):
    grey = Image.fromarray(gradient()[..., 0].astype(np.uint16) * 300)
    image = grey if mode == "I;16" else Image.fromarray(gradient()).convert(mode)
    whole = to_rgb(image)
    monkeypatch.setattr("uncrowd.data.images.read.BAND_PIXELS", pixels)
    assert np.array_equal(to_rgb(image), whole)


def test_red_is_the_first_channel(tmp_path):
    path = save(tmp_path / "red.png", Image.new("RGB", (WIDTH, HEIGHT), "red"))
    assert read_image(path)[0, 0].tolist() == [255, 0, 0]


def test_16_bit_grey_is_scaled_not_clipped(tmp_path):
    grey = np.array([[0, 257, 257 * 100, 65535], [128, 129, 256, 1000]], dtype=np.uint16)
    for name in ("a.png", "a.tif"):
        Image.fromarray(grey).save(tmp_path / name)
        image = read_image(tmp_path / name)
        assert image[..., 0].tolist() == [[0, 1, 100, 255], [0, 1, 1, 4]]
        assert (image == image[..., :1]).all()


@pytest.mark.parametrize(
    ("mode", "colour", "expected", "suffix"),
    [
        ("1", 1, (255, 255, 255), "png"),
        ("L", 77, (77, 77, 77), "png"),
        ("LA", (77, 10), (77, 77, 77), "png"),  # alpha is dropped: the colour below it counts
        ("RGBA", (10, 20, 30, 0), (10, 20, 30), "png"),
        ("CMYK", (255, 0, 0, 0), (0, 255, 255), "tif"),
        ("CMYK", (255, 0, 0, 0), (0, 255, 255), "jpg"),
        ("I", 65535, (255, 255, 255), "tif"),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, mode, colour, expected, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new(mode, (WIDTH, HEIGHT), colour).save(path)
    image = read_image(path, size=(HEIGHT, WIDTH))
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(image.astype(int) - expected).max() <= 2  # JPEG rounds


def test_palette_with_and_without_transparency(tmp_path):
    colours = Image.new("RGB", (WIDTH, HEIGHT), (200, 100, 50)).quantize(4)
    for name, options in {"a.png": {}, "b.png": {"transparency": bytes([0, 255])}, "c.gif": {}}.items():
        colours.save(tmp_path / name, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read_image(tmp_path / name)[0, 0].tolist() == [200, 100, 50]


# How rows and columns of the stored image are to be read, for each EXIF orientation.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("jpg", {}),
        ("png", {}),
        ("tif", {}),
        ("tif", {"compression": "tiff_deflate"}),  # libtiff reads it, not Pillow's own decoder
        ("tif", {"save_all": True, "append_images": [Image.new("RGB", (3, 3))]}),
        ("webp", {"lossless": True}),
        ("avif", {}),
    ],
    ids=["jpeg", "png", "tiff", "libtiff", "tiff-of-two-pages", "webp", "avif"],
)
def test_each_orientation_of_each_format_is_applied_once(tmp_path, suffix, options, orientation):
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow does not read AVIF")
    image, exif = Image.fromarray(gradient()), Image.Exif()
    image.save(tmp_path / f"plain.{suffix}", **options)
    exif[0x0112] = orientation
    path = tmp_path / f"tagged.{suffix}"
    image.save(path, exif=exif, **options)

    stored = read_image(tmp_path / f"plain.{suffix}")
    expected = UPRIGHT[orientation](stored)
    assert np.array_equal(read_image(path), expected)
    assert image_sizes(path) == ((HEIGHT, WIDTH), expected.shape[:2])
    content = read_content(path)
    assert (content.stored, content.displayed) == image_sizes(path)
    assert content.turned == (orientation > 1)
    assert np.array_equal(read_image(path, size=expected.shape[:2]), expected)
    # A record of the stored size says that boxes were drawn on the stored image, unless both sizes are the same.
    assert np.array_equal(read_image(path, size=(HEIGHT, WIDTH)), stored if orientation > 4 else expected)
    with Image.open(path) as lazy, Image.open(path) as loaded:
        loaded.load()
        for opened in (lazy, loaded):
            assert np.array_equal(to_rgb(upright(opened)), expected)


def test_where_both_ways_have_the_size_exif_is_applied(tmp_path):
    square = gradient()[:, :HEIGHT]
    quarter = save(tmp_path / "quarter.png", Image.fromarray(square), orientation=6)
    assert np.array_equal(read_image(quarter, size=(HEIGHT, HEIGHT)), np.rot90(square, -1))
    half = save(tmp_path / "half.png", Image.fromarray(gradient()), orientation=3)
    assert np.array_equal(read_image(half, size=(HEIGHT, WIDTH)), gradient()[::-1, ::-1])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_spoil_good_pixels(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(gradient()).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(read_image(path), gradient())


def test_a_record_of_another_size_is_refused(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(gradient()))
    with pytest.raises(InputError, match=r"a\.png: the image is 6x4 pixels, but its record says 9x4"):
        read_image(path, size=(4, 9))


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"nowhere\.jpg does not exist; put the image there or correct its name"):
        read_image(Path("nowhere.jpg"))
    with pytest.raises(InputError, match=r"nowhere\.jpg does not exist"):
        image_sizes(Path("nowhere.jpg"))


def test_memory_that_runs_out_is_no_damage(tmp_path, monkeypatch):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "load", Mock(side_effect=MemoryError))
    with pytest.raises(InputError, match=r"a\.png needs more memory than there is now; end other programs\.$"):
        read_image(tmp_path / "a.png")


def test_headers_are_read_above_the_limit_of_decoding(tmp_path):
    """A PNG of 20,000 x 10,000 pixels, of which there is only the header."""
    (tmp_path / "large.png").write_bytes(png_header(20_000, 10_000))
    assert displayed_sizes([tmp_path / "large.png"]) == [(10_000, 20_000)]
    with pytest.raises(InputError, match="the image has more than 178,956,970 pixels"):
        read_image(tmp_path / "large.png")


def png_header(width: int, height: int) -> bytes:
    chunks = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT"
    packed = (struct.pack(">I", len(each) - 4) + each + struct.pack(">I", zlib.crc32(each)) for each in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_a_truncated_jpeg_is_named(tmp_path):
    path = tmp_path / "cut.jpg"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:-500])
    assert image_sizes(path) == ((64, 64), (64, 64))  # the header is whole
    with pytest.raises(InputError, match=r"cut\.jpg cannot be read as an image .*truncated.*replace the file"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0"])
def test_what_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "odd.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"odd\.jpg cannot be read as an image"):
        read_image(path)
    with pytest.raises(InputError, match=r"odd\.jpg cannot be read as an image"):
        image_sizes(path)


def test_pixels_of_unknown_range_are_refused(tmp_path):
    for mode, colour in {"F": 0.5, "I": 70_000}.items():
        path = tmp_path / f"{mode}.tif"
        Image.new(mode, (WIDTH, HEIGHT), colour).save(path)
        with pytest.raises(InputError, match=rf"{mode}\.tif: .*save it with 8 or 16 bits"):
            read_image(path)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=60, deadline=None)
@given(data=st.data(), suffix=st.sampled_from(["jpeg", "png", "tiff"]))
def test_damaged_bytes_never_raise_anything_else(tmp_path_factory, data, suffix):
    file = io.BytesIO()
    Image.fromarray(gradient()).save(file, format=suffix, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0")
    content = bytearray(file.getvalue())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / f"a.{suffix}"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        image = read_image(path)
    except InputError:
        return
    assert image.dtype == np.uint8


def test_only_the_first_page_is_read_and_the_others_are_noted(tmp_path):
    pages = [Image.fromarray(gradient()), Image.new("RGB", (WIDTH, HEIGHT))]
    for name in ("a.tif", "a.gif", "a.png", "a.webp"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:], lossless=True)
        content = read_content(tmp_path / name)
        assert content.notes() == ["only the first of its 2 images is read"]
        assert np.abs(content.pixels.astype(int) - gradient()).max() <= 8  # a palette has fewer colours
    # The second image of a camera's JPEG is a preview.
    pages[0].save(tmp_path / "a.mpo", save_all=True, append_images=pages[1:])
    assert read_content(tmp_path / "a.mpo").notes() == []


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_12_bits_in_16_are_noted_as_dark(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.array([[5, 4095]], np.uint16)).save(path)
    (note,) = read_content(path).notes()
    assert note == "its 16-bit pixels use only 0 to 4095 of 65535 and become dark; rescale them"
    for bright in (np.array([[0, 60_000]], np.uint16), np.zeros((1, 2), np.uint16), np.array([[0, 15]], np.uint8)):
        Image.fromarray(bright).save(path)
        assert read_content(path).notes() == []


def test_12_bits_in_16_bit_colours_are_noted_too(tmp_path):
    path = tmp_path / "a.png"
    row = b"\0" + (4095).to_bytes(2, "big") * 3
    header = (1).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(row)), (b"IEND", b"")):
            file.write(len(content).to_bytes(4, "big") + kind + content)
            file.write(zlib.crc32(kind + content).to_bytes(4, "big"))
    assert read_content(path).pixels.tolist() == [[[15, 15, 15]]]
    assert "use only 0 to 4095 of 65535" in read_content(path).notes()[0]
