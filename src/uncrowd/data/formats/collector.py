"""Reading without Python's garbage collector, which would look for cycles where records have none.

It goes through all that has been read so far whenever that has grown by a quarter, so that reading would take more than
its share of time the more there is.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Leaves the collector off meanwhile, and as it was before afterwards; also a decorator."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
