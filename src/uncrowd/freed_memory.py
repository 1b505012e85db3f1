"""Freed memory stays with the process, for the next image.

On Linux the C library hands blocks of more than 32 MiB back as soon as they are freed, and the system clears each page
of the next one. Large feature maps are such blocks: on a CPU that costs a detector a tenth to a third of its time.
"""

import ctypes
import os

# mallopt's, from glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = -1
# Of the environment: settings of the allocator, or perhaps another one.
_ALLOCATOR_VARIABLES = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Lets the process keep what its main thread frees, in blocks of any size; returns whether it does so now.

    It never shrinks below its peak from then on, and the peak is higher, for not every block fits where another was: by
    5 to 25 % in training. The `uncrowd` command begins with it, for it has its process for itself; the library
    does not by itself. Only glibc can do it, the C library of most Linux systems; a GPU's memory torch keeps anyway.
    Where the environment says something of the allocator, or preloads another, all stays as it is.
    """
    if any(name.startswith(_ALLOCATOR_VARIABLES) for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    # large blocks are cut from the heap like small ones, and the heap is not trimmed
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _NEVER))
