"""Whether kernels of our own, which are written in Triton, can run where a tensor is."""

import os
from importlib.util import find_spec
from shutil import which

from torch import Tensor

# Triton does not exist for Windows, and builds its launcher with a C compiler, which it looks for so.
COMPILERS = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
HAS_TRITON = find_spec("triton") is not None and any(map(which, COMPILERS))


def own_kernels_run(x: Tensor) -> bool:
    """True on a GPU, where there are Triton and a C compiler."""
    return x.is_cuda and HAS_TRITON
