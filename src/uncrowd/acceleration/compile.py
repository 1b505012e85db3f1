"""torch.compile in the two forms that save time: layer by layer for training, and the whole model for inference.

Both change the model in place and keep its names and weights. Compilation happens at the first call and takes minutes
on a CPU. It needs a C++ compiler on a CPU, and what Triton needs on a GPU.
"""

import os
import shlex
import subprocess
import sys

import torch

from uncrowd.errors import InputError
from uncrowd.models.detector import Detector
from uncrowd.ops.triton_available import c_compiler, lacking_for_triton


def compile_layers(model: Detector, device: torch.device) -> None:
    """Compiles the stages or layers one by one, for training.

    They consist of many small operations, which a GPU finishes faster than the host launches them. Backbone and pyramid
    stay uncompiled: they are a few large operations that see the image size, and with symbolic sizes the compiler takes
    minutes for them. A stage of Sparse R-CNN sees no image size. A layer of DETR does; when a second size comes, it is
    compiled once more, for all sizes.

    device: where the model will be trained. Raises InputError if there is no compiler for it.
    """
    _require_compiler(device)
    for layer in model.layers:
        layer.compile()


def compile_whole(model: Detector) -> None:
    """Compiles the model from pixels to the last stage's output, once for each size of image and batch.

    On a GPU the compiled model is one CUDA graph for each size. After eight sizes, further ones run uncompiled. The
    model should come from `for_inference`. Raises InputError if there is no compiler.
    """
    device = next(model.parameters()).device
    _require_compiler(device)
    model.compile(dynamic=False, mode="reduce-overhead" if device.type == "cuda" else None)


def _require_compiler(device: torch.device) -> None:
    if device.type == "cuda":
        compiler, lacking = c_compiler(), lacking_for_triton()
        if compiler is not None and not _works(compiler):
            lacking = f"a C compiler that works ({compiler} does not)"
    else:
        named = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
        lacking = None if _works(*shlex.split(named)) else "a C++ compiler (g++, or what CXX names)"  # may have options
    if lacking is not None:
        raise InputError(f"torch.compile needs {lacking} and finds none here; install it, or do not compile.")


def _works(*compiler: str) -> bool:
    try:
        return subprocess.run([*compiler, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
