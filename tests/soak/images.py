"""Damaged image files are read or refused in a sentence, quickly, and whole ones are read right."""

import io
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from tests.soak.forked import forked
from tests.soak.ground import Ground, fresh
from tests.soak.mutations import damaged_bytes
from uncrowd.data.images.read import image_sizes, read_image
from uncrowd.errors import InputError

LIMIT = 30.0
LOSSLESS = ("PNG", "BMP", "TIFF", "WEBP")
FORMATS = ("JPEG", "GIF", *LOSSLESS)
MODES = ("RGB", "L", "RGBA", "P", "1", "I;16")


def image_files(ground: Ground, rng: np.random.Generator) -> None:
    """One image of any format and mode, whole or damaged."""
    folder = fresh(ground, rng)
    format, mode = str(rng.choice(FORMATS)), str(rng.choice(MODES))
    height, width = rng.integers(1, 80, 2)
    image = _noise(mode, int(height), int(width), rng)
    buffer = io.BytesIO()
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    try:
        image.save(buffer, format, **options)
    except OSError:  # the format does not have this mode
        image = image.convert("RGB")
        image.save(buffer, format, **options)
    whole = rng.random() < 0.1
    data = buffer.getvalue() if whole else damaged_bytes(buffer.getvalue(), rng)
    path = folder / f"image.{format.lower()}"
    path.write_bytes(data)

    ended = forked(lambda: _read(path), LIMIT)
    assert not ended.hung, f"hung: {path}"
    assert ended.status == 0, f"{path}: {ended.said[-2000:]}"
    assert not ended.said, f"{path} said {ended.said[:500]!r}"
    if whole and format in LOSSLESS and image.mode in ("RGB", "L"):
        assert np.array_equal(ended.result, np.asarray(image.convert("RGB"))), f"{path} has other pixels"
    elif whole:
        assert ended.result.shape == (height, width, 3), f"{path} has another size"
    shutil.rmtree(folder)


def _read(path: Path) -> np.ndarray | str:
    try:
        image = read_image(path)
    except InputError as error:
        return str(error)
    assert image.dtype == np.uint8
    assert image.shape[2:] == (3,)
    assert image.shape[:2] in image_sizes(path)
    return image


def _noise(mode: str, height: int, width: int, rng: np.random.Generator) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 1 << 16, (height, width), dtype=np.uint16))
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)
