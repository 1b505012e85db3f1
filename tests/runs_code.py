"""A file that must not be trusted: reading it as a pickle runs code."""

from pathlib import Path
from typing import Any


class RunsCode:
    """A pickle that makes a folder when it is read."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)
