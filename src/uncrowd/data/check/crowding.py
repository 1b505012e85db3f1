"""Describes how crowded a dataset is."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from uncrowd.boxes import pairwise_iou
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.problems import Finding

# CrowdHuman counts pairs above this IoU as overlapping.
CROWDED = 0.5
# The most pairs of boxes that are compared at a time; each takes about 100 bytes.
PAIRS_AT_A_TIME = 250_000


def describe_crowding(dataset: DetectionDataset) -> list[Finding]:
    """Returns one note on the number of boxes per image and their overlap; no note for a dataset without boxes.

    The overlap of a box is its largest IoU with another box of its image, of any class.
    """
    counts = np.zeros(len(dataset), dtype=np.int64)
    overlaps, pairs = 0.0, 0
    for index in range(len(dataset)):
        rows = slice(dataset.offsets[index], dataset.offsets[index + 1])
        boxes = torch.from_numpy(dataset.boxes[rows][~dataset.ignore[rows]])
        counts[index] = len(boxes)
        if len(boxes):
            nearest, crowded = overlap(boxes)
            overlaps += float(nearest.sum())
            pairs += crowded
    if not counts.any():
        return []
    fullest = int(counts.argmax())
    message = (
        f"boxes per image: {counts.mean():.3g}, at most {counts[fullest]} (in {dataset.file_names[fullest]}); mean IoU "
        f"of a box with its closest neighbour: {overlaps / counts.sum():.2f}; pairs per image above IoU {CROWDED}: "
        f"{pairs / len(dataset):.3g}"
    )
    return [
        Finding(
            kind="crowding",
            severity="note",
            split=dataset.split,
            count=int(counts.sum()),
            examples=[],
            message=message,
            training="a model needs at least as many proposals as the fullest image has boxes, better twice as many",
        )
    ]


def overlap(boxes: Float[Tensor, "n 4"]) -> tuple[Float[Tensor, " n"], int]:
    """Returns the largest IoU of each box with another, and the number of pairs above `CROWDED`.

    The boxes are compared with all others in blocks, so that memory does not grow with the square of their number.
    """
    # Small tensors made between the blocks would keep the allocator from using the blocks' memory again.
    nearest, crowded = boxes.new_empty(len(boxes)), 0
    step = max(1, PAIRS_AT_A_TIME // len(boxes))
    for start in range(0, len(boxes), step):
        block = pairwise_iou(boxes[start : start + step], boxes)
        block.diagonal(start).zero_()  # each box with itself
        nearest[start : start + step] = block.amax(dim=1)
        crowded += int((block > CROWDED).sum())
    return nearest, crowded // 2
