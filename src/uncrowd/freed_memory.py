"""Keeps freed memory in the process, for the next image.

On Linux the C library returns blocks of more than 32 MiB to the system as soon as they are freed, and the system clears
each page of the next block. Large feature maps are such blocks: on a CPU this costs a tenth to a third of a detector's
time.
"""

import ctypes
import os

# parameters of mallopt, from glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = -1
# Environment variables that configure the allocator or may replace it.
_ALLOCATOR_VARIABLES = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Makes the process keep the memory that its main thread frees, in blocks of any size; returns whether it now does.

    The process then never shrinks below its peak, and the peak is higher, because not every block fits where another
    was: 5 to 25 % in training on images of one size, and several times where sizes change all the time. So the
    `uncrowd` command, which has the process to itself, calls this unless it trains; the library does not. It needs
    glibc, the C library of most Linux systems. GPU memory is not affected: torch keeps it anyway. Nothing changes if
    the environment configures the allocator or preloads another one.
    """
    if any(name.startswith(_ALLOCATOR_VARIABLES) for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    # large blocks are cut from the heap like small ones, and the heap is not trimmed
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _NEVER))
