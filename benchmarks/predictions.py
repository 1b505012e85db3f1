"""The memory that predicting many files takes beyond that of a few, with the same batch size.

`python -m benchmarks.predictions` draws 1,000 JPEGs of 1000 x 800 pixels. It predicts 16 of them, all as a list, and
all from an iterator, each time in a process of its own.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from benchmarks.memory import peak_on_host
from PIL import Image

from uncrowd.data.transforms import ResizeConfig
from uncrowd.inference.predictor import Predictor
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.build import build_detector
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.structures import Categories

WIDTH, HEIGHT = 1000, 800
BATCH = 8


def draw(folder: Path, images: int) -> list[Path]:
    """Writes JPEGs, each of another brightness."""
    paths = [folder / f"{number:04d}.jpg" for number in range(images)]
    ground = np.random.default_rng(0).integers(0, 128, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for number, path in enumerate(paths):
        Image.fromarray(ground + np.uint8(number % 128)).save(path)
    return paths


def predict(paths: list[Path], as_iterator: bool) -> None:
    """Predicts with a small model of random weights and keeps all detections."""
    torch.manual_seed(0)
    model = SparseRCNNConfig(
        num_classes=3, proposals=20, stages=1, backbone=BackboneConfig(name="resnet10t", norm="group", frozen_stages=0)
    )
    categories = Categories(ids=(1, 2, 3), names=("a", "b", "c"))
    predictor = Predictor(build_detector(model), categories, ResizeConfig(short_side=96, max_size=128))
    found = predictor.predict(iter(paths) if as_iterator else paths, batch_size=BATCH)
    assert len(list(found)) == len(paths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="number of files (default 1,000)")
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        paths = draw(Path(folder), images)
        for name, given, as_iterator in (
            ("16 paths", paths[:16], False),
            (f"{images:,} paths", paths, False),
            (f"{images:,} paths of an iterator", paths, True),
        ):
            began = time.perf_counter()
            used = peak_on_host(predict, given, as_iterator)
            seconds = time.perf_counter() - began
            print(f"{name}: {'?' if used is None else round(used / 1e6)} MB, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
