"""RoIAlign of one box from one level, sample by sample, and FPN's rule for the level of a box."""

import math

import torch
from torch import Tensor

from tests.plain.iou import Box, area


def fpn_level(box: Box) -> int:
    """Returns 2 for P2 ... 5 for P5: k = floor(4 + log2(sqrt(area) / 224)), clamped."""
    side = math.sqrt(area(box))
    return min(max(math.floor(4 + math.log2(side / 224 + 1e-8)), 2), 5)


def bilinear(feature: Tensor, y: float, x: float) -> Tensor:
    """feature: (c, h, w), values at whole coordinates. Points more than one cell outside give 0, others are clamped."""
    _, height, width = feature.shape
    if y < -1 or y > height or x < -1 or x > width:
        return torch.zeros_like(feature[:, 0, 0])
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    upper = feature[:, top, left] * (1 - across) + feature[:, top, right] * across
    lower = feature[:, bottom, left] * (1 - across) + feature[:, bottom, right] * across
    return upper * (1 - down) + lower * down


def roi_align(feature: Tensor, box: Box, stride: int, size: int, samples: int = 2) -> Tensor:
    """Returns (c, size, size): each cell is the mean of samples x samples points. Alignment subtracts half a cell."""
    x1, y1, x2, y2 = (coordinate / stride - 0.5 for coordinate in box)
    cell_height, cell_width = (y2 - y1) / size, (x2 - x1) / size
    pooled = feature.new_zeros(len(feature), size, size)
    for row in range(size):
        for column in range(size):
            for i in range(samples):
                for j in range(samples):
                    y = y1 + cell_height * (row + (i + 0.5) / samples)
                    x = x1 + cell_width * (column + (j + 0.5) / samples)
                    pooled[:, row, column] += bilinear(feature, y, x) / samples**2
    return pooled


def pyramid_roi_align(features: list[Tensor], box: Box, size: int) -> Tensor:
    """features: P2 to P5 of one image, (c, h, w) each."""
    level = fpn_level(box)
    return roi_align(features[level - 2], box, stride=2**level, size=size)
