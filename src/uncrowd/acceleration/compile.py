"""torch.compile in the two forms that pay: for training with images of many sizes, and for inference with few.

Both change a model in place, but neither its names nor its weights. Compilation happens at the first call, takes
minutes on a CPU, and needs a compiler: for C++ on a CPU, and on a GPU what Triton needs.
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
    """Compiles the stages or decoder layers one by one, for training.

    They consist of many small operations, which a GPU finishes sooner than the host can ask for them. Backbone and
    pyramid are a few large operations and stay as they are: they see the sizes of images, and with symbolic sizes the
    compiler takes minutes for them. A stage of Sparse R-CNN sees no size. A layer of DETR does, so that it is compiled
    once more, for all sizes, when a second one comes.

    device: where the model will be trained. Raises InputError where there is no compiler for it.
    """
    _require_compiler(device)
    for layer in model.layers:
        layer.compile()


def compile_whole(model: Detector) -> None:
    """Compiles the model from pixels to the last stage's output, again for each size of image and batch.

    On a GPU the compiled model is one CUDA graph for each size. After eight sizes, further ones run uncompiled. The
    model should come from `for_inference`. Raises InputError where there is no compiler.
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
        lacking = None if _works(*shlex.split(named)) else "a C++ compiler (g++, or what CXX names)"  # with options
    if lacking is not None:
        raise InputError(f"torch.compile needs {lacking} and finds none here; install it, or do not compile.")


def _works(*compiler: str) -> bool:
    try:
        return subprocess.run([*compiler, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
