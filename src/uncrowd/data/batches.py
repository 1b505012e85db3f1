"""Which images form a batch, and how they are padded to one size.

An epoch is planned as lists of indices, so (epoch, step) is a position in the data.
"""

import math
from collections import defaultdict

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from uncrowd.data.transforms import ResizeConfig, resized_size


def plan_epoch(
    sizes: Int64[np.ndarray, "n 2"],
    *,
    seed: int,
    epoch: int,
    batch_size: int,
    world_size: int = 1,
    rank: int = 0,
    repeats: Float64[np.ndarray, " n"] | None = None,
) -> list[list[int]]:
    """Returns the images of each step of `rank` in `epoch`: lists of `batch_size` indices, equally many on all ranks.

    `sizes`: (height, width) of each image. A step takes batch_size * world_size images over all ranks, and the
    choice depends on that product alone: 2 ranks with 4 images get the same images as 1 rank with 8. The images of a
    step are all landscape or all portrait, except in at most one step. The remainder that does not fill a step is left
    out; it differs between epochs. A dataset smaller than one step is repeated to fill it.

    repeats: how often each image comes in an epoch on average, at least 1; in one epoch it is the whole number below or
    above. Otherwise no image comes twice.
    """
    rng = np.random.default_rng((seed, epoch))
    images_a_step = batch_size * world_size
    order = rng.permutation(len(sizes))
    images = len(sizes)
    if repeats is not None:
        images = math.floor(repeats.sum())  # equally many each epoch
        ends = np.floor(np.cumsum(repeats[order]) + rng.random())
        order = rng.permutation(np.repeat(order, np.diff(ends, prepend=0).astype(np.int64)))
    steps = max(images // images_a_step, 1)
    # `np.resize` cuts the remainder off, or repeats what is too short.
    order = np.resize(order, steps * images_a_step)
    is_portrait = sizes[order, 0] > sizes[order, 1]
    by_shape = order[np.argsort(is_portrait, kind="stable")]
    batches = rng.permutation(by_shape.reshape(steps, world_size, batch_size))
    return batches[:, rank].tolist()


def inference_batches(
    sizes: Int64[np.ndarray, "n 2"], config: ResizeConfig, *, multiple: int, batch_size: int
) -> list[list[int]]:
    """Returns batches of at most `batch_size` image indices; each batch is padded to one size, the largest comes first.

    `sizes`: (height, width) of each image. Padding influences convolutions, so the scores of an image would depend
    on the images beside it. Therefore each image is padded only as it would be alone: to a multiple of `multiple`.
    """
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (height, width) in enumerate(sizes.tolist()):
        new_height, new_width = resized_size(height, width, config.short_side, config.max_size)
        groups[math.ceil(new_height / multiple), math.ceil(new_width / multiple)].append(index)
    # The largest first, so that too little memory shows at once.
    largest_first = sorted(groups, key=math.prod, reverse=True)
    return [
        groups[padded][start : start + batch_size]
        for padded in largest_first
        for start in range(0, len(groups[padded]), batch_size)
    ]


def pad(images: list[UInt8[Tensor, "3 _h _w"]]) -> tuple[UInt8[Tensor, "b 3 h w"], Int64[Tensor, "b 2"]]:
    """Pads images with 0 at the bottom and the right; returns one tensor and each (height, width) before padding.

    The tensor is channels-last in memory: resizing produces that layout and convolutions are fastest on it.
    """
    sizes = torch.tensor([image.shape[-2:] for image in images], dtype=torch.int64).reshape(-1, 2)
    height, width = sizes.amax(dim=0).tolist() if images else (0, 0)
    padded = torch.empty(len(images), 3, height, width, dtype=torch.uint8, memory_format=torch.channels_last)
    for row, image in zip(padded, images, strict=True):
        own_height, own_width = image.shape[-2:]
        row[:, :own_height, :own_width] = image
        row[:, :own_height, own_width:] = 0
        row[:, own_height:] = 0
    return padded, sizes
