"""torch.compile in the two forms that pay: for training, where pictures have many sizes, and for looking at one size.

Both change a model in place, not its names or weights. What is compiled is compiled when it is first called, which
takes minutes, and needs a compiler: for C++ on a CPU, for C, which Triton needs, on a GPU.
"""

import os
import shlex
import shutil
import subprocess
import sys

import torch
from torch import nn

from uncrowd.errors import InputError
from uncrowd.models.detector import Detector


def compile_parts(model: Detector) -> None:
    """Compiles backbone, pyramid and each stage on its own, the sizes of pictures being symbols: once for all sizes.

    Once more, though, after a first batch of one picture, or one whose sides are equal, which share a symbol. Not the
    whole at once: the compiler would follow the sizes of pictures through padding and strides to the last stage, which
    takes it hours. A stage sees the pyramid as rows, of which there is one number.

    Raises InputError without a compiler.
    """
    _require_compiler()
    for part in _parts(model):
        compile_for_all_sizes(part)


def compile_for_all_sizes(part: nn.Module) -> None:
    """Compiles one module, with what it needs for gradients, the sizes of what it is given being symbols."""
    # Without the option a convolution's backward pass (as of torch 2.14) fixes the sizes: each would be compiled anew.
    part.compile(dynamic=True, options={"force_layout_optimization": True})


def compile_whole(model: Detector) -> None:
    """Compiles everything from pixels to the last stage, anew for each size of picture and batch.

    On a GPU a picture is then one CUDA graph. After eight sizes further ones are computed as they are without. Raises
    InputError without a compiler.
    """
    _require_compiler()
    on_gpu = next(model.parameters()).is_cuda
    model.compile(dynamic=False, mode="reduce-overhead" if on_gpu else None)
    model.recordings = None  # the compiler has its own


def _parts(model: Detector) -> list[nn.Module]:
    # Swin's windows depend on the sizes of pictures, and would be compiled anew for each
    trunk = [model.backbone] if model.backbone.norms is None else []
    return [*trunk, *model.after_backbone]


def _require_compiler() -> None:
    if torch.cuda.is_available():
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
