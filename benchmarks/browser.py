"""Compares a page with Python: `python -m benchmarks.browser DETECTOR.onnx IMAGES` from the project's root, in minutes.

DETECTOR.onnx is an exported detector, IMAGES a folder. Each image is detected in as PNG, by the page in a headless
Chromium and by ONNX Runtime in Python, both on one thread: in the pixels that the network gets, resized by Python, and
in the file. Prints how far nine of ten detections are apart, and the time of one detection.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from benchmarks.command import run
from PIL import Image
from torch import Tensor

from tests.browser.opened import Opened, chromium, detect_file, detect_resized, opening
from uncrowd.browser.page import export_page
from uncrowd.data.images.read import read_image
from uncrowd.data.transforms import resize
from uncrowd.errors import InputError
from uncrowd.inference.export_check import SHARE, differences
from uncrowd.inference.load import load
from uncrowd.inference.predictor import Predictor
from uncrowd.structures import Decoded

IMAGES = 10


class Measured(NamedTuple):
    """Of one image: (pixels, score) of each detection in the resized pixels and in the file, and seconds."""

    resized: Tensor
    file: Tensor
    in_page: float
    in_python: float


def main(argv: Sequence[str]) -> int:
    """Prints the comparison over the first images of the folder."""
    torch.set_num_threads(1)
    browser = chromium()
    if browser is None:
        raise InputError("There is no Chromium here; install it.")
    detector, folder = Path(argv[0]), Path(argv[1])
    predictor = load(detector, "cpu")
    with tempfile.TemporaryDirectory() as temporary:
        files = _as_png(sorted(folder.glob("*.[jp][pn]g"))[:IMAGES], Path(temporary))
        index = export_page(detector, Path(temporary) / "page")
        with opening(index, browser) as page:
            rows = [_measure(page, predictor, file) for file in files]
    for name, apart in (("resized pixels", [row.resized for row in rows]), ("file", [row.file for row in rows])):
        pixels, score = torch.cat(apart).quantile(SHARE, dim=0, interpolation="higher").tolist()
        print(f"the same {name}: {SHARE:.0%} of detections within {pixels:.2g} pixels and {score:.2g}")
    seconds = median(row.in_page for row in rows), median(row.in_python for row in rows)
    print(f"{len(rows)} images, seconds of one detection: {seconds[0]:.2f} in the page, {seconds[1]:.2f} in Python")
    return 0


def _as_png(files: Sequence[Path], folder: Path) -> list[Path]:
    written = [folder / f"{file.stem}.png" for file in files]
    for file, png in zip(files, written, strict=True):
        Image.fromarray(read_image(file)).save(png)
    return written


def _measure(page: Opened, predictor: Predictor, file: Path) -> Measured:
    pixels = read_image(file)
    image = resize(pixels, predictor.resize)
    size = torch.tensor([image.shape[1:]])
    began = time.perf_counter()
    expected = predictor.model.detect(image[None], size)
    seconds = time.perf_counter() - began
    in_file, found = detect_file(page, file), predictor.predict(file)
    whole = Decoded(found.boxes[None], found.scores[None], found.labels[None])
    return Measured(
        resized=differences(detect_resized(page, image), expected, size),
        file=differences(in_file.found, whole, torch.tensor([pixels.shape[:2]])),
        in_page=in_file.seconds,
        in_python=seconds,
    )


if __name__ == "__main__":
    run(main)
