"""Whether kernels of our own, which are written in Triton, can run where a tensor is."""

import os
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from torch import Tensor


def c_compiler() -> str | None:
    """The one that Triton takes; None where there is none. It takes what CC names as one program, without options."""
    named = os.environ.get("CC")
    return which(named) if named is not None else which("gcc") or which("clang")


def lacking_for_triton() -> str | None:
    """What Triton does not find here, in words, of what it builds and starts kernels with; None if nothing."""
    if find_spec("triton") is None:  # it does not exist for Windows
        return "Triton"
    if c_compiler() is None:
        return "a C compiler (gcc, clang, or the one program that CC names)"
    scheme = sysconfig.get_default_scheme()
    scheme = "posix_prefix" if scheme == "posix_local" else scheme  # where Debian's Python has its own
    found_elsewhere = {"CPATH", "C_INCLUDE_PATH"} & os.environ.keys()  # perhaps
    if not found_elsewhere and not Path(sysconfig.get_path("include", scheme), "Python.h").is_file():
        return "Python's headers (under Debian and Ubuntu python3-dev)"
    return None


HAS_TRITON = lacking_for_triton() is None  # a constant, for compilers follow who asks


def own_kernels_run(x: Tensor) -> bool:
    """True on a GPU, where Triton can build."""
    return x.is_cuda and HAS_TRITON
