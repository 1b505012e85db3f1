"""Draws a contact sheet of images as training sees them: `python -m benchmarks.augmented DATA SHEET --paste 1`.

Each row shows an image with its boxes as it is in the dataset, and in several epochs.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from uncrowd.data.augment.affine import AffineConfig
from uncrowd.data.augment.colour import ColourConfig
from uncrowd.data.augment.mosaic import MosaicConfig
from uncrowd.data.augment.others import Others
from uncrowd.data.augment.paste import PasteConfig
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.images.file import MAX_PIXELS
from uncrowd.data.images.read import read_image
from uncrowd.data.transforms import TrainTransformConfig, augment, image_rng
from uncrowd.visualize.draw import PALETTE

GAP = 4


def tile(dataset: DetectionDataset, others: Others, config: TrainTransformConfig, index: int, epoch: int) -> np.ndarray:
    """Returns image `index` as it is in `epoch`, with its boxes in the colours of their classes, ignored ones black."""
    sample = dataset[index]
    image, target = augment(config, read_image(sample.path, sample.size), sample, image_rng(0, epoch, index), others)
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    colours = [PALETTE[label % len(PALETTE)] for label in target.labels.tolist()] + [(0, 0, 0)] * len(target.ignored)
    boxes = torch.cat([target.boxes, target.ignored]).round().int().tolist()
    for (x1, y1, x2, y2), colour in zip(boxes, colours, strict=True):
        for part in (np.s_[y1 : y1 + 1, x1:x2], np.s_[y2 - 1 : y2, x1:x2], np.s_[y1:y2, x1 : x1 + 1]):
            pixels[part] = colour
        pixels[y1:y2, x2 - 1 : x2] = colour
    return pixels


def sheet(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Returns images of one size in rows and columns, on white."""
    framed = [[np.pad(each, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for each in row] for row in rows]
    return np.concatenate([np.concatenate(row, axis=1) for row in framed])[:-GAP, :-GAP]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--side", type=int, default=256, help="height and width of each image")
    for name in ("paste", "affine", "colour", "mosaic"):
        parser.add_argument(f"--{name}", type=float, default=0.0, help="its probability")
    parser.add_argument("--objects", type=int, nargs=2, default=(1, 8), help="how many are pasted")
    parser.add_argument("--same-image", type=float, default=0.0, help="the probability that they are the image's own")
    parser.add_argument("--opacity", type=float, default=1.0, help="how much of what is behind them they hide")
    given = parser.parse_args()
    plain = TrainTransformConfig(short_sides=(given.side,), max_size=2 * given.side, horizontal_flip=0.0)
    config = TrainTransformConfig(
        short_sides=plain.short_sides,
        max_size=plain.max_size,
        horizontal_flip=0.0,
        mosaic=MosaicConfig(probability=given.mosaic),
        paste=PasteConfig(
            probability=given.paste,
            same_image=given.same_image,
            objects=tuple(given.objects),
            opacity=given.opacity,
        ),
        affine=AffineConfig(probability=given.affine),
        colour=ColourConfig(probability=given.colour),
    )
    dataset = open_dataset(given.data).train
    assert dataset is not None, "the data has a training split"
    others = Others(dataset, MAX_PIXELS)
    indices = np.linspace(0, len(dataset) - 1, given.rows).astype(int).tolist()
    rows = [
        [tile(dataset, others, plain if epoch == 0 else config, index, epoch) for epoch in range(given.columns)]
        for index in indices
    ]
    height = max(each.shape[0] for row in rows for each in row)
    width = max(each.shape[1] for row in rows for each in row)

    def padded(each: np.ndarray) -> np.ndarray:
        below, beside = height - each.shape[0], width - each.shape[1]
        return np.pad(each, ((0, below), (0, beside), (0, 0)), constant_values=255)

    Image.fromarray(sheet([[padded(each) for each in row] for row in rows])).save(given.sheet, quality=85)


if __name__ == "__main__":
    main()
