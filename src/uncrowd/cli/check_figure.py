"""Draws images of a dataset with their boxes, which shows whether the boxes were read as they were meant."""

import numpy as np
from jaxtyping import UInt8

from uncrowd.data.check.dataset import Checked
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.images.file import MAX_PIXELS
from uncrowd.data.images.read import read_image
from uncrowd.visualize.ground_truth import draw_ground_truth
from uncrowd.visualize.sheet import grid, in_column

IMAGES = 3  # of each split


def draw_splits(checked: Checked, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "height width 3"] | None:
    """Draws a column of images for each split, spread evenly over those that can be read and have boxes, if any have.

    max_pixels: with which the dataset was checked. Returns None if no image can be read.
    """
    columns = {
        dataset.split: [_drawn(dataset, index, max_pixels) for index in _spread(_shown(checked, dataset))]
        for dataset in checked.scanned.splits.present
    }
    columns = {split: images for split, images in columns.items() if images}
    if not columns:
        return None
    blank = np.full((1, 1, 3), 255, dtype=np.uint8)
    longest = max(map(len, columns.values()))
    padded = [images + [blank] * (longest - len(images)) for images in columns.values()]
    return grid(list(columns), list(zip(*padded, strict=True)))


def _shown(checked: Checked, dataset: DetectionDataset) -> list[int]:
    """Returns the positions of the images that can be read: of those with boxes, or of all if none has any."""
    readable = checked.usable(dataset)
    with_boxes = [index for index in readable if dataset.offsets[index] < dataset.offsets[index + 1]]
    return with_boxes or readable


def _spread(positions: list[int]) -> list[int]:
    count = min(IMAGES, len(positions))
    return [positions[(2 * number + 1) * len(positions) // (2 * count)] for number in range(count)]


def _drawn(dataset: DetectionDataset, index: int, max_pixels: int) -> UInt8[np.ndarray, "_height _width 3"]:
    sample = dataset[index]
    image, scale = in_column(read_image(sample.path, sample.size, max_pixels=max_pixels))
    return draw_ground_truth(image, sample, dataset.categories, scale)
