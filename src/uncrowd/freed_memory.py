"""Freed memory stays with the process, for the next picture.

On Linux the C library hands every large block back as soon as it is freed, and the system clears each page of the next
one: a detector on a CPU spends up to a third of its time so, for all of its feature maps are large blocks.
"""

import ctypes
import os

# mallopt's, from glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = -1
_GIB = 2**30
# Of the environment: settings of the allocator, or perhaps another one.
_SAY_SOMETHING = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Lets the process keep what it frees in blocks of up to a GiB; returns whether it does so now.

    From then on it holds what it once needed at most, some 5 to 25 % more than without, for not every block fits where
    another was. `uncrowd`'s verbs begin with it, for they have their process for themselves; the library does not by
    itself. Only glibc can do it, the C library of most Linux systems; a GPU's memory torch keeps anyway. Where the
    environment says something of the allocator, or preloads another, all stays as it is.
    """
    if any(name.startswith(_SAY_SOMETHING) for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _GIB) and mallopt(_TRIM_THRESHOLD, _NEVER))
