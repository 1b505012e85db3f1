"""RoIAlign on a GPU, as a Triton kernel: each program pools one cell of one box.

A program works out which 16 rows of the pyramid its cell needs, and their weights. It uses the formulas of `cells_of`
in the same order, where PyTorch needs a hundred operations. Rounding may differ: a box whose side is exactly where a
level begins, or a sample exactly on the edge of the map, may fall on the other side. Forward, the program sums its
rows. Backward, it adds its gradient to them atomically, so the last bits depend on the order in which programs run, as
in torchvision's RoIAlign.

All stages pool from the same rows. Backward, they add to one tensor (`RowsGradient`); otherwise each stage would fill a
tensor of the pyramid's size, and autograd would sum these tensors.
"""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from uncrowd.boxes import FAR
from uncrowd.ops.roi_sampling import CANONICAL_LEVEL, CANONICAL_SIDE, FINEST_LEVEL, SAMPLES, TERMS

assert (SAMPLES, TERMS) == (2, 16), "the kernel has these numbers written out"
SECOND_LEVEL_SIDE = CANONICAL_SIDE * 2.0 ** (FINEST_LEVEL + 1 - CANONICAL_LEVEL)


@triton.jit
@no_type_check
def _bounded(x, far: tl.constexpr):
    return tl.minimum(tl.maximum(tl.where(x == x, x, 0.0), -far), far)  # NaN is 0


@triton.jit
@no_type_check
def _along(start, end, length, cell, t: tl.constexpr, size: tl.constexpr):
    """Returns, along one direction, the place and the weight of term t of 4: two samples with two neighbours each."""
    step = (end - start) / size
    at = start + cell * step + (t // 2 + 0.5) * step / 2
    half = tl.where((at >= -1) & (at <= length), 0.5, 0.0).to(at.dtype)
    at = tl.minimum(tl.maximum(at, 0.0), (length - 1).to(at.dtype))
    low = tl.floor(at)
    share = at - low
    low = low.to(tl.int64)
    return (low, (1 - share) * half) if t % 2 == 0 else (tl.minimum(low + 1, length - 1), share * half)


@triton.jit
@no_type_check
def _pool_or_spread(
    table,  # (b * rows_a_image, channels)
    levels,
    boxes,  # in the dtype of the sums
    pooled,  # (b * boxes_a_image * size * size, channels)
    boxes_a_image,
    rows_a_image,
    level_count: tl.constexpr,
    second_level_side: tl.constexpr,  # of the smallest boxes on the second level, in pixels
    size: tl.constexpr,
    channels: tl.constexpr,
    block: tl.constexpr,
    far: tl.constexpr,
    backward: tl.constexpr,
):
    """Reads rows from `table` and writes `pooled`; `backward` reads a gradient from `pooled` and adds it to `table`."""
    k = tl.program_id(0).to(tl.int64)
    box = k // (size * size)
    row, column = k // size % size, k % size
    x1, y1 = _bounded(tl.load(boxes + box * 4), far), _bounded(tl.load(boxes + box * 4 + 1), far)
    x2, y2 = _bounded(tl.load(boxes + box * 4 + 2), far), _bounded(tl.load(boxes + box * 4 + 3), far)

    # as `assign_levels`, without root and logarithm, which Triton approximates: each level begins at twice the side
    area = tl.maximum(x2 - x1, 0.0) * tl.maximum(y2 - y1, 0.0)
    level = levels
    for finer in tl.static_range(level_count - 1):
        level += tl.where(area >= second_level_side * second_level_side * 4**finer, 4, 0)
    height, width, first, stride = tl.load(level), tl.load(level + 1), tl.load(level + 2), tl.load(level + 3)
    x1, y1, x2, y2 = x1 / stride - 0.5, y1 / stride - 0.5, x2 / stride - 0.5, y2 / stride - 0.5
    first += box // boxes_a_image * rows_a_image

    channel = tl.arange(0, block)
    inside = channel < channels
    # not tl.zeros: it is a kernel, which the interpreter cannot call if Triton was imported before it was switched on
    total = (channel * 0).to(boxes.dtype.element_ty)
    if backward:
        total += tl.load(pooled + k * channels + channel, mask=inside, other=0.0).to(total.dtype)
    for t in tl.static_range(16):
        y, of_y = _along(y1, y2, height, row, t // 4, size)
        x, of_x = _along(x1, x2, width, column, t % 4, size)
        cells = table + (first + y * width + x) * channels + channel
        weight = of_y * of_x
        if not backward:
            total += weight * tl.load(cells, mask=inside, other=0.0).to(total.dtype)
        elif weight != 0:  # 0 outside the map, where all programs would queue for the same row
            tl.atomic_add(cells, weight * total, mask=inside, sem="relaxed")
    if not backward:
        tl.store(pooled + k * channels + channel, total.to(pooled.dtype.element_ty), mask=inside)


def _launch(table: Tensor, levels: Tensor, boxes: Tensor, pooled: Tensor, size: int, *, backward: bool) -> None:
    """table: (b, l, d). levels: (levels, 4). boxes: (b, n, 4). pooled: (b * n * size * size, d). All contiguous."""
    if not pooled.numel():
        return
    (_, rows, channels), (_, n, _) = table.shape, boxes.shape
    block = triton.next_power_of_2(channels)
    with torch.cuda.device_of(table):  # Triton launches on the current device
        _pool_or_spread[(pooled.shape[0],)](
            table,
            levels,
            boxes,
            pooled,
            n,
            rows,
            level_count=levels.shape[0],
            second_level_side=SECOND_LEVEL_SIDE,
            size=size,
            channels=channels,
            block=block,
            far=FAR,
            backward=backward,
        )  # pyright: ignore[reportArgumentType]


def _in_dtype_of_sums(boxes: Tensor, rows: Tensor) -> Tensor:
    """Returns the boxes in the dtype in which the kernel sums these rows."""
    return boxes.to(torch.float64 if rows.dtype == torch.float64 else torch.float32).contiguous()


class RowsGradient:
    """Accumulates the gradient of the rows that all stages pool from, in the dtype of the sums."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None

    def of(self, rows: Tensor) -> Tensor:
        """Returns the same rows, (b, l, d): pooling from these with `roi_align_on_gpu` adds up their gradient here."""
        return _WithGradient.apply(rows, self)  # pyright: ignore[reportReturnType]

    def add(self, gradient: Tensor, levels: Tensor, boxes: Tensor, size: int, shape: torch.Size) -> None:
        """Spreads the gradient of pooled boxes, (b * n, size * size, d), over rows of this shape."""
        if self._sum is None:
            self._sum = boxes.new_zeros(shape)
        _launch(self._sum, levels, boxes, gradient.contiguous().flatten(0, 1), size, backward=True)

    def take(self) -> Tensor | None:
        """Returns the sum and clears it; None if no stage has added to it."""
        total, self._sum = self._sum, None
        return total


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, gradient: RowsGradient) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.gradient, ctx.dtype = gradient, rows.dtype
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx: Any, *from_elsewhere: Tensor | None) -> tuple[Tensor | None, None]:
        found = [given for given in (ctx.gradient.take(), *from_elsewhere) if given is not None]
        return (sum(found[1:], start=found[0]).to(ctx.dtype) if found else None), None


class _RoIAlign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, levels: Tensor, boxes: Tensor, size: int, gradient: RowsGradient) -> Tensor:
        boxes = _in_dtype_of_sums(boxes, rows)
        ctx.save_for_backward(levels, boxes)
        ctx.size, ctx.shape, ctx.gradient = size, rows.shape, gradient
        return _pool(rows, levels, boxes, size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None, None, None]:
        if torch.is_grad_enabled():
            raise RuntimeError("RoIAlign's kernel has no second derivative (create_graph=True)")
        ctx.gradient.add(gradients[0], *ctx.saved_tensors, ctx.size, ctx.shape)
        return None, None, None, None, None


def roi_align_on_gpu(rows: Tensor, levels: Tensor, boxes: Tensor, size: int, gradient: RowsGradient | None) -> Tensor:
    """See `uncrowd.ops.roi_align.roi_align`. Returns (b * n, size * size, d).

    gradient: the one whose `of` returned `rows`; None where they have no gradient.
    """
    if gradient is None or not torch.is_grad_enabled():
        return roi_align_operator(rows, levels, boxes, size)
    return _RoIAlign.apply(rows, levels, boxes, size, gradient)  # pyright: ignore[reportReturnType]


def _pool(rows: Tensor, levels: Tensor, boxes: Tensor, size: int) -> Tensor:
    pooled = rows.new_empty(boxes.shape[0] * boxes.shape[1], size * size, rows.shape[2])
    _launch(rows.contiguous(), levels, _in_dtype_of_sums(boxes, rows), pooled.flatten(0, 1), size, backward=False)
    return pooled


@torch.library.custom_op("uncrowd::roi_align", mutates_args=())
def roi_align_operator(rows: Tensor, levels: Tensor, boxes: Tensor, size: int) -> Tensor:
    """`roi_align_on_gpu` of rows without gradient, as an operator, which `torch.compile` can keep in its graph."""
    return _pool(rows, levels, boxes, size)


@roi_align_operator.register_fake
def _(rows: Tensor, levels: Tensor, boxes: Tensor, size: int) -> Tensor:
    return rows.new_empty(boxes.shape[0] * boxes.shape[1], size * size, rows.shape[2])
