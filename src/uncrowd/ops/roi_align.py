"""RoI features: each box pooled from the pyramid level that fits its size, all levels and images in one call.

RoIAlign is linear in the features: a cell of a pooled box is a weighted sum of 16 of the pyramid's cells (2 x 2
samples, each between 4 cells). So the levels lie one after another as rows, channels side by side, and each cell of
each box says which rows it takes and how much of each. No box is sorted by level, and nobody waits to learn how many
are on one. On a GPU one kernel of our own does all of it (roi_align_triton.py); here is what it is held to.

Shapes: b images, n boxes of each, l cells of all levels together, d channels, t = 16 cells that one is made of.
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
    """The maps of a pyramid one after another, a row a cell.

    levels: of each its height, width, first row and stride; a tensor, so that a box can look it up on the device.
    gradient: where that of the rows is added up, if they have one and a GPU's kernel pools from them.
    """

    rows: Float[Tensor, "b l d"]
    levels: Int64[Tensor, "levels 4"]
    gradient: "RowsGradient | None" = None


def as_rows(features: list[Float[Tensor, "b d _ _"]]) -> PyramidRows:
    """Returns P2, P3, ... with strides 4, 8, ... as rows, in at least fp32 but for a GPU's kernel, which reads halves.

    Elsewhere each stage would turn them into whole floats anew.
    """
    facts: list[int] = []
    first = 0
    for level, feature in enumerate(features):
        height, width = feature.shape[-2:]
        facts += [height, width, first, 2 ** (level + FINEST_LEVEL)]
        first += height * width
    # filled in on the device: a tensor made of a list would have to be copied there, and the host would wait for it
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
    """Not where a compiler would have to follow the kernel's own way with gradients."""
    return own_kernels_run(rows) and not (rows.requires_grad and torch.compiler.is_compiling())


def assign_levels(boxes: Float[Tensor, "*n 4"], levels: int) -> Int64[Tensor, "*n"]:
    """Returns for each box the index (0 is P2) of its level: floor(4 + log2(sqrt(area) / 224)), clamped."""
    side = area(boxes).sqrt()
    level = (CANONICAL_LEVEL + torch.log2(side / CANONICAL_SIDE + 1e-8)).floor()
    return level.clamp(FINEST_LEVEL, FINEST_LEVEL + levels - 1).long() - FINEST_LEVEL


def roi_align(pyramid: PyramidRows, boxes: Float[Tensor, "b n 4"], size: int) -> Float[Tensor, "b*n {size}*{size} d"]:
    """Pools every box from its level into `size` x `size` cells, row by row (aligned, 2 x 2 samples a cell).

    boxes: network pixels, anywhere; samples more than a cell outside the feature map are 0. A coordinate that is not
    finite pools as a very far one (NaN: as 0); boxes get no gradient. Places and sums are in at least fp32, for a box
    in bf16 is up to 4 pixels off; what is returned is in the dtype of the rows.
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
    """Returns the rows of its image that each cell of each pooled box is made of, and how much it takes of each."""
    boxes = at_least_fp32(boxes).detach().nan_to_num(nan=0.0).clamp(-FAR, FAR)
    height, width, first, stride = levels[assign_levels(boxes, len(levels))].unbind(-1)
    x1, y1, x2, y2 = (boxes / stride[..., None] - 0.5).unbind(-1)  # values stand in the middle of their cells
    rows, row_weights = _along(y1, y2, height, size)
    columns, column_weights = _along(x1, x2, width, size)
    start = first[..., None, None] + rows * width[..., None, None]
    index = start[:, :, :, None, :, None] + columns[:, :, None, :, None, :]
    weight = row_weights[:, :, :, None, :, None] * column_weights[:, :, None, :, None, :]
    return index.flatten(4).flatten(2, 3), weight.flatten(4).flatten(2, 3)


def _along(
    start: Float[Tensor, "b n"], end: Float[Tensor, "b n"], length: Int64[Tensor, "b n"], size: int
) -> tuple[Int64[Tensor, "b n {size} 4"], Float[Tensor, "b n {size} 4"]]:
    """One direction: the 4 places (2 samples, 2 neighbours of each) of each of `size` cells, and their weights.

    start, end: of the box, in cells. length: of the map. The order of operations is torchvision's, so that a sample
    that is just outside there is outside here.
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
