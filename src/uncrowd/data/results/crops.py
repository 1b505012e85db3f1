"""Writes what was found as small images: a folder for each image, a file for each detection, best first."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, floor
from pathlib import Path

from PIL import Image

from uncrowd.data.results.found import FoundImage, Write


def crops_folder(name: Path) -> Path:
    """Returns where the crops of the image `name` go."""
    return Path("crops") / name.with_suffix("")


@contextmanager
def writing_crops(folder: Path) -> Iterator[Write]:
    """Yields a function that writes the crops of an image as JPEG, named by number, class and score.

    Crops of an earlier call in the same place are removed.
    """

    def write(image: FoundImage) -> None:
        assert image.pixels is not None
        target = folder / crops_folder(image.name)
        target.mkdir(parents=True, exist_ok=True)
        for earlier in target.glob("[0-9]*.jpg"):
            earlier.unlink()
        found = image.detections
        for n, (name, score, (x1, y1, x2, y2)) in enumerate(
            zip(found.names, found.scores.tolist(), found.boxes.tolist(), strict=True), start=1
        ):
            crop = image.pixels[floor(y1) : ceil(y2), floor(x1) : ceil(x2)]
            word = re.sub(r"[^\w-]+", "-", name)  # of any language, but no slashes
            Image.fromarray(crop).save(target / f"{n:04}-{word}-{score:.2f}.jpg", quality=95)

    yield write
