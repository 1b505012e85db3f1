"""Reading large files without Python's garbage collector.

The collector searches everything that was read so far for reference cycles, each time that has grown by a quarter.
Records have no cycles, so this only makes reading slower, and more so the larger the file.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Switches the collector off inside the block, and afterwards on again if it was on. Also works as a decorator."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
