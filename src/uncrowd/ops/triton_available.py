"""Whether our Triton kernels can run on the device of a tensor."""

import os
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from torch import Tensor


def c_compiler() -> str | None:
    """Returns the compiler that Triton uses, or None. Triton takes CC as the name of one program, without options."""
    named = os.environ.get("CC")
    return which(named) if named is not None else which("gcc") or which("clang")


def lacking_for_triton() -> str | None:
    """Returns, in words, what Triton needs for building and starting kernels but does not find; None if nothing."""
    if find_spec("triton") is None:  # it does not exist for Windows
        return "Triton"
    if c_compiler() is None:
        return "a C compiler (gcc, clang, or the one program that CC names)"
    scheme = sysconfig.get_default_scheme()
    scheme = "posix_prefix" if scheme == "posix_local" else scheme  # as Triton does, for Debian's Python
    perhaps_elsewhere = {"CPATH", "C_INCLUDE_PATH"} & os.environ.keys()
    if not perhaps_elsewhere and not Path(sysconfig.get_path("include", scheme), "Python.h").is_file():
        return "Python's headers (under Debian and Ubuntu python3-dev)"
    return None


HAS_TRITON = lacking_for_triton() is None  # a constant, because torch.compile would trace the call


def own_kernels_run(x: Tensor) -> bool:
    """True for a tensor on a GPU, if Triton can build kernels here."""
    return x.is_cuda and HAS_TRITON
