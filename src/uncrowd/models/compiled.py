"""torch.compile in the two forms that pay: for training, where images have many sizes, and for looking at one size.

Both change a model in place, not its names or weights. What is compiled is compiled when it is first called, which
takes minutes on a CPU, and needs a compiler: for C++ on a CPU, on a GPU what Triton needs.
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
    """Compiles what queries go through, stage by stage or layer by layer: for training.

    These are many small operations, which on a GPU take longer to ask for than to do. Trunk and pyramid are few large
    ones and stay as they are: they see the sizes of images, and the compiler takes minutes for them where these are
    symbols. A stage of Sparse R-CNN sees none; where a layer of DETR does, or another number of images comes, it is
    compiled once more, for all of them.

    device: where it will be trained. Raises InputError without a compiler for it.
    """
    _require_compiler(device)
    for layer in model.layers:
        layer.compile()


def compile_whole(model: Detector) -> None:
    """Compiles everything from pixels to the last stage, anew for each size of image and batch.

    On a GPU an image is then one CUDA graph. After eight sizes further ones are computed operation by operation, and
    not recorded either. The model is in its final form, `for_inference`. Raises InputError without a compiler.
    """
    device = next(model.parameters()).device
    _require_compiler(device)
    model.compile(dynamic=False, mode="reduce-overhead" if device.type == "cuda" else None)
    model.recordings = None  # the compiler has its own


def _require_compiler(device: torch.device) -> None:
    if device.type == "cuda":
        compiler, lacking = c_compiler(), lacking_for_triton()
        if compiler is not None and not _works(compiler):
            lacking = f"a C compiler that works ({compiler} does not)"
    else:
        named = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
        lacking = None if _works(*shlex.split(named)) else "a C++ compiler (g++, or what CXX names)"  # with options
    if lacking is not None:
        raise InputError(f"torch.compile needs {lacking} and finds none here; install it, or go without compiling.")


def _works(*compiler: str) -> bool:
    try:
        return subprocess.run([*compiler, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
