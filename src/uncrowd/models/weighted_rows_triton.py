"""`weighted_rows` on a GPU, as kernels of our own.

torch's embedding bag sorts the indices in its backward pass there, and has no half rows with exact weights. Here one
program makes one sum: it reads t rows and adds them up in fp32. Backward it adds its gradient to the same t rows,
atomically, so that the last bits depend on the order in which programs come by, as in torchvision's RoIAlign.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _sum_kernel(rows, index, weight, sums, terms: tl.constexpr, channels: tl.constexpr, block: tl.constexpr):
    k = tl.program_id(0).to(tl.int64)
    channel = tl.arange(0, block)
    inside = channel < channels
    # not tl.zeros, a kernel itself, which the interpreter cannot call if Triton was imported without it
    total = (channel * 0).to(weight.dtype.element_ty)
    for term in range(terms):
        row = tl.load(index + k * terms + term)
        share = tl.load(weight + k * terms + term)
        total += share * tl.load(rows + row * channels + channel, mask=inside, other=0.0).to(total.dtype)
    tl.store(sums + k * channels + channel, total.to(sums.dtype.element_ty), mask=inside)


@triton.jit
def _spread_kernel(gradient, index, weight, to_rows, terms: tl.constexpr, channels: tl.constexpr, block: tl.constexpr):
    k = tl.program_id(0).to(tl.int64)
    channel = tl.arange(0, block)
    inside = channel < channels
    of_sum = tl.load(gradient + k * channels + channel, mask=inside, other=0.0).to(weight.dtype.element_ty)
    for term in range(terms):
        row = tl.load(index + k * terms + term)
        share = tl.load(weight + k * terms + term)
        if share != 0:  # outside the map, where all would queue for its first row
            tl.atomic_add(to_rows + row * channels + channel, share * of_sum, mask=inside, sem="relaxed")


@torch.library.custom_op("uncrowd::weighted_rows", mutates_args=())
def weighted_rows_on_gpu(rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """See `weighted_rows`. weight: float32, or float64 for rows of float64. An operator, so that it can be compiled."""
    rows, index, weight = rows.contiguous(), index.contiguous(), weight.contiguous()
    (sums, terms), channels = index.shape, rows.shape[1]
    result = rows.new_empty(sums, channels)
    if result.numel():
        block = triton.next_power_of_2(channels)
        with torch.cuda.device_of(rows):  # Triton launches on the current one
            _sum_kernel[(sums,)](rows, index, weight, result, terms, channels, block)  # pyright: ignore[reportArgumentType]
    return result


@torch.library.custom_op("uncrowd::spread_to_rows", mutates_args=())
def _spread_to_rows(gradient: Tensor, index: Tensor, weight: Tensor, total_rows: int) -> Tensor:
    """The gradient of the rows, in the dtype of the weights."""
    gradient, index, weight = gradient.contiguous(), index.contiguous(), weight.contiguous()
    (sums, terms), channels = index.shape, gradient.shape[1]
    to_rows = torch.zeros(total_rows, channels, dtype=weight.dtype, device=gradient.device)
    if gradient.numel():
        block = triton.next_power_of_2(channels)
        with torch.cuda.device_of(gradient):
            _spread_kernel[(sums,)](gradient, index, weight, to_rows, terms, channels, block)  # pyright: ignore[reportArgumentType]
    return to_rows


@weighted_rows_on_gpu.register_fake
def _(rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    return rows.new_empty(index.shape[0], rows.shape[1])


@_spread_to_rows.register_fake
def _(gradient: Tensor, index: Tensor, weight: Tensor, total_rows: int) -> Tensor:
    return weight.new_empty(total_rows, gradient.shape[1])


def _keep(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    rows, index, weight = inputs
    ctx.save_for_backward(index, weight)
    # not len(rows), which would fix the number where a graph has a symbol
    ctx.total_rows, ctx.dtype = rows.shape[0], rows.dtype  # pyright: ignore[reportAttributeAccessIssue]


def _backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
    index, weight = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
    to_rows = _spread_to_rows(gradient, index, weight, ctx.total_rows)  # pyright: ignore[reportAttributeAccessIssue]
    return to_rows.to(ctx.dtype), None, None  # pyright: ignore[reportAttributeAccessIssue]


weighted_rows_on_gpu.register_autograd(_backward, setup_context=_keep)
