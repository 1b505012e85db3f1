"""torch.compile in the two forms that pay: for training, where pictures have many sizes, and for looking at one size.

Both change a model in place, not its names or weights. What is compiled is compiled when it is first called, which
takes minutes on a CPU, and needs a compiler: for C++ on a CPU, for C, which Triton needs, on a GPU.
"""

import os
import shlex
import shutil
import subprocess
import sys

import torch

from uncrowd.errors import InputError
from uncrowd.models.detector import Detector


def compile_layers(model: Detector, device: torch.device) -> None:
    """Compiles what queries go through, stage by stage or layer by layer: for training.

    These are many small operations, which on a GPU take longer to ask for than to do. Trunk and pyramid are few large
    ones and stay as they are: they see the sizes of pictures, and the compiler takes minutes for them where these are
    symbols. A stage of Sparse R-CNN sees none; where a layer of DETR does, or another number of pictures comes, it is
    compiled once more, for all of them.

    device: where it will be trained. Raises InputError without a compiler for it.
    """
    _require_compiler(device)
    for layer in model.layers:
        layer.compile()


def compile_whole(model: Detector) -> None:
    """Compiles everything from pixels to the last stage, anew for each size of picture and batch.

    On a GPU a picture is then one CUDA graph. After eight sizes further ones are computed operation by operation, and
    not recorded either. The model is in its final form, `for_inference`. Raises InputError without a compiler.
    """
    device = next(model.parameters()).device
    _require_compiler(device)
    model.compile(dynamic=False, mode="reduce-overhead" if device.type == "cuda" else None)
    model.recordings = None  # the compiler has its own


def _require_compiler(device: torch.device) -> None:
    if device.type == "cuda":
        language, variable, usual = "C", "CC", ("gcc", "clang")
    else:
        language, variable, usual = "C++", "CXX", ("clang++" if sys.platform == "darwin" else "g++",)
    named = os.environ.get(variable)
    if not any(map(_works, [named] if named else usual)):
        raise InputError(
            f"torch.compile finds no {language} compiler here; install one, name it in the environment as {variable}, "
            "or go without compiling."
        )


def _works(compiler: str) -> bool:
    program, *options = shlex.split(compiler)  # such as "ccache g++"
    found = shutil.which(program)
    command = [found or program, *options, "--version"]
    return found is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
