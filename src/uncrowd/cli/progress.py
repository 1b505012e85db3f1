"""A progress bar on standard error for verbs that go through pictures; nothing where there is no terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def batches_done(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a function to call with the number of batches done and in all."""
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
