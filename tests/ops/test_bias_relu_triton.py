"""Bias and ReLU in one pass give what the two operations give.

Without a GPU our kernel runs in Triton's interpreter.
"""

import subprocess
import sys

import pytest
import torch

from tests.ops.interpreted import DEVICE, bias_relu_kernel


# a last block that is not full; blocks that begin in the middle of the channels; a single number
@pytest.mark.parametrize("shape", [(2, 8, 3, 5), (1, 24, 31, 9), (1, 1, 1, 1)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_one_pass_equals_the_two_operations(shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    """With quarters, whose sums are exact in every dtype: the interpreter truncates where a GPU rounds."""
    torch.manual_seed(0)
    x = (torch.randint(-9, 10, shape) / 4).to(DEVICE, dtype).to(memory_format=torch.channels_last)
    bias = (torch.randint(-9, 10, shape[1:2]) / 4).to(DEVICE, torch.promote_types(dtype, torch.float32))
    found = bias_relu_kernel()(x, bias)
    assert found.dtype == dtype
    assert torch.equal(found, torch.relu(x + bias.to(dtype)[:, None, None]))


def test_nan_stays_nan() -> None:
    x = torch.tensor([torch.nan, torch.inf, -torch.inf, -1.0], device=DEVICE).view(1, 4, 1, 1)
    x = x.to(memory_format=torch.channels_last)
    found = bias_relu_kernel()(x, torch.zeros(4, device=DEVICE)).flatten().tolist()
    assert str(found) == "[nan, inf, 0.0, 0.0]"


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from uncrowd.ops.bias_relu_triton import BLOCK, _add_and_clamp

for kind, of_bias in (("fp32", "fp32"), ("bf16", "fp32"), ("bf16", "bf16"), ("fp64", "fp64")):
    signature = {"x": f"*{kind}", "bias": f"*{of_bias}", "out": f"*{kind}", "size": "i32"}
    constants = {"channels": 256, "block": BLOCK}
    source = ASTSource(_add_and_clamp, signature | dict.fromkeys(constants, "constexpr"), constants)
    built = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    print(len(built.asm["cubin"]) > 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Triton comes with torch on Linux alone")
def test_it_compiles_for_a_gpu_without_having_one() -> None:
    """Down to machine code, which the interpreter does not produce."""
    pytest.importorskip("triton")
    done = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True"] * 4
