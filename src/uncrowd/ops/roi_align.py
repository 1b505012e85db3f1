"""RoI features: each box is pooled from the pyramid level that fits its size, all levels and images in one call.

RoIAlign is linear in the features: each cell of a pooled box is a weighted sum of 16 pyramid cells (2 x 2 samples, each
interpolated between 4 cells). So the levels are concatenated into a table with one row per pyramid cell, and each cell
of a pooled box is given by the indices and weights of its 16 rows. Boxes are not sorted by level, so the host does not
wait to learn how many boxes each level has. On a GPU one Triton kernel does all of this (roi_align_triton.py); tests
hold it to the code here.

Shapes: b images, n boxes of each, l cells of all levels together, d channels, t = 16 pyramid cells of a pooled cell.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from uncrowd.boxes import FAR, area, at_least_fp32
from uncrowd.ops.roi_sampling import CANONICAL_LEVEL, CANONICAL_SIDE, FINEST_LEVEL, SAMPLES
from uncrowd.ops.triton_available import own_kernels_run

if TYPE_CHECKING:
    from uncrowd.ops.roi_align_triton import RowsGradient


class PyramidRows(NamedTuple):
    """The feature maps of a pyramid in one table, with one row per cell.

    levels: height, width, first row and stride of each level; a tensor, so that boxes can look them up on the device.
    gradient: accumulates the gradient of the rows; None unless they have one and the GPU kernel pools from them.
    """

    rows: Float[Tensor, "b l d"]
    levels: Int64[Tensor, "levels 4"]
    gradient: "RowsGradient | None" = None


def as_rows(features: list[Float[Tensor, "b d _ _"]]) -> PyramidRows:
    """Returns P2, P3, ... with strides 4, 8, ... as rows.

    The GPU kernel reads half precision, so its rows keep the dtype of the features. All other rows are converted to at
    least fp32 here, once for all stages.
    """
    facts: list[int] = []
    first = 0
    for level, feature in enumerate(features):
        height, width = feature.shape[-2:]
        facts += [height, width, first, 2 ** (level + FINEST_LEVEL)]
        first += height * width
    # filled in on the device: a tensor made from a list would be copied there, and the host would wait for the copy
    levels = torch.stack([torch.full((), fact, device=features[0].device) for fact in facts]).view(-1, 4)
    rows = torch.cat([feature.flatten(2).transpose(1, 2) for feature in features], dim=1)
    if not _by_kernel(rows):
        return PyramidRows(at_least_fp32(rows), levels)
    if not rows.requires_grad:
        return PyramidRows(rows, levels)
    from uncrowd.ops.roi_align_triton import RowsGradient

    gradient = RowsGradient()
    return PyramidRows(gradient.of(rows), levels, gradient)


def _by_kernel(rows: Tensor) -> bool:
    """Whether the GPU kernel pools from the rows: not in compiled training, because compilers cannot trace it."""
    return own_kernels_run(rows) and not (rows.requires_grad and torch.compiler.is_compiling())


def assign_levels(boxes: Float[Tensor, "*n 4"], levels: int) -> Int64[Tensor, "*n"]:
    """Returns the index of each box's level (0 is P2): floor(4 + log2(sqrt(area) / 224)), clamped."""
    side = area(boxes).sqrt()
    level = (CANONICAL_LEVEL + torch.log2(side / CANONICAL_SIDE + 1e-8)).floor()
    return level.clamp(FINEST_LEVEL, FINEST_LEVEL + levels - 1).long() - FINEST_LEVEL


def roi_align(pyramid: PyramidRows, boxes: Float[Tensor, "b n 4"], size: int) -> Float[Tensor, "b*n {size}*{size} d"]:
    """Pools every box from its level into `size` x `size` cells, row by row (aligned, 2 x 2 samples a cell).

    boxes: network pixels, anywhere; samples more than a cell outside the feature map are 0. An infinite coordinate
    counts as a very far one, NaN as 0. Boxes get no gradient. Sampling points and sums are computed in at least fp32,
    because a box in bf16 is up to 4 pixels off; the result has the dtype of the rows.
    """
    if _by_kernel(pyramid.rows):
        from uncrowd.ops.roi_align_triton import roi_align_on_gpu

        return roi_align_on_gpu(pyramid.rows, pyramid.levels, boxes.detach(), size, pyramid.gradient)
    index, weight = cells_of(pyramid.levels, boxes, size)
    cells = pyramid.rows.shape[1]
    image = torch.arange(boxes.shape[0], device=boxes.device).view(-1, 1, 1, 1) * cells
    table, index = at_least_fp32(pyramid.rows).flatten(0, 1), (index + image).flatten(0, 2)
    weight = weight.flatten(0, 2).to(table.dtype)
    pooled = F.embedding_bag(index, table, mode="sum", per_sample_weights=weight)
    return pooled.to(pyramid.rows.dtype).unflatten(0, (-1, size**2))


def cells_of(
    levels: Int64[Tensor, "levels 4"], boxes: Float[Tensor, "b n 4"], size: int
) -> tuple[Int64[Tensor, "b n {size}*{size} t"], Float[Tensor, "b n {size}*{size} t"]]:
    """Returns the 16 rows, counted within its image, of each cell of each pooled box, and their weights."""
    boxes = at_least_fp32(boxes).detach().nan_to_num(nan=0.0).clamp(-FAR, FAR)
    height, width, first, stride = levels[assign_levels(boxes, len(levels))].unbind(-1)
    x1, y1, x2, y2 = (boxes / stride[..., None] - 0.5).unbind(-1)  # a value lies at the centre of its cell
    rows, row_weights = _along(y1, y2, height, size)
    columns, column_weights = _along(x1, x2, width, size)
    start = first[..., None, None] + rows * width[..., None, None]
    index = start[:, :, :, None, :, None] + columns[:, :, None, :, None, :]
    weight = row_weights[:, :, :, None, :, None] * column_weights[:, :, None, :, None, :]
    return index.flatten(4).flatten(2, 3), weight.flatten(4).flatten(2, 3)


def _along(
    start: Float[Tensor, "b n"], end: Float[Tensor, "b n"], length: Int64[Tensor, "b n"], size: int
) -> tuple[Int64[Tensor, "b n {size} 4"], Float[Tensor, "b n {size} 4"]]:
    """Returns, along one direction, the 4 places (2 samples, 2 neighbours each) of each of `size` cells, with weights.

    start, end: of the box, in pyramid cells. length: of the map, in cells. The order of operations is torchvision's, so
    that a sample just outside the map there is also outside here.
    """
    cell = torch.arange(size, device=start.device, dtype=start.dtype)[:, None]
    sample = torch.arange(SAMPLES, device=start.device, dtype=start.dtype) + 0.5
    start, step, length = (x[..., None, None] for x in (start, (end - start) / size, length))
    at = start + cell * step + sample * step / SAMPLES
    inside = (at >= -1) & (at <= length)
    at = at.clamp(min=0).minimum(length - 1)
    low = at.floor()
    share = at - low
    low = low.long()
    places = torch.stack([low, (low + 1).minimum(length - 1)], dim=-1)
    weights = torch.stack([1 - share, share], dim=-1) * (inside / SAMPLES)[..., None]
    return places.flatten(-2), weights.flatten(-2)
