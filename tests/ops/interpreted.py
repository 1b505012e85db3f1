"""The bias kernel, compiled where there is a GPU and interpreted elsewhere."""

from importlib import import_module
from typing import Any

import pytest
import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def bias_relu_kernel() -> Any:
    """Returns the function that launches our kernel, in Triton's interpreter where there is no GPU."""
    pytest.importorskip("triton")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", str(int(DEVICE.type == "cpu")))  # read when kernels are defined
        return import_module("uncrowd.ops.bias_relu_triton").bias_relu_on_gpu
