"""Bias and ReLU on a GPU in one pass over a feature map, as a Triton kernel for inference.

torch takes one pass to add the bias of a convolution, which is slow for a map in channels last, and another pass for
the ReLU.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024


@triton.jit
@no_type_check
def _add_and_clamp(x, bias, out, size, channels: tl.constexpr, block: tl.constexpr):
    """Writes relu(x + bias) to out. x, out: (rows, channels), flattened.

    The bias is rounded to the dtype of x, as autocast rounds it; the sum is computed in at least fp32.
    """
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = at < size
    value = tl.load(x + at, mask=inside, other=0.0)
    offset = tl.load(bias + at % channels).to(x.dtype.element_ty)
    if x.dtype.element_ty != tl.float64:
        value, offset = value.to(tl.float32), offset.to(tl.float32)
    total = value + offset
    tl.store(out + at, tl.where(total < 0, 0.0, total).to(x.dtype.element_ty), mask=inside)  # NaN stays NaN


# As an operator, the kernel is seen by tools that record operators. `custom_op` takes the host far longer to call.
_OPERATORS = torch.library.Library("uncrowd", "FRAGMENT")
_OPERATORS.define("bias_relu(Tensor x, Tensor bias) -> Tensor")


@torch.library.impl(_OPERATORS, "bias_relu", "CompositeExplicitAutograd")
def _bias_relu(x: Tensor, bias: Tensor) -> Tensor:
    out = torch.empty_like(x)
    with torch.cuda.device_of(x):  # Triton launches on the current device
        _add_and_clamp[(triton.cdiv(x.numel(), BLOCK),)](
            x, bias.contiguous(), out, x.numel(), channels=x.shape[1], block=BLOCK
        )  # pyright: ignore[reportArgumentType]
    return out


def bias_relu_on_gpu(x: Tensor, bias: Tensor) -> Tensor:
    """Returns relu(x + bias), without a gradient. x: (b, c, h, w), channels last. bias: (c)."""
    assert x.is_contiguous(memory_format=torch.channels_last), x.stride()
    assert not x.requires_grad, "the kernel serves inference alone"
    return torch.ops.uncrowd.bias_relu(x, bias)
