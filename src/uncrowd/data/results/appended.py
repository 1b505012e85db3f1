"""Writes a file record by record, so that an interruption leaves it complete up to its last record."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path


@contextmanager
def appended(path: Path, begin: str, between: str, end: Callable[[bool], str]) -> Iterator[Callable[[str], None]]:
    """Yields a function that appends a record to `path`: begin, record, between, record, ..., end(True).

    end(False): the whole content without any record. An older file is replaced with the first record, or at the end if
    there was no record and no error.
    """
    file: FileIO | None = None
    kept = 0  # the end of the last complete record

    def write(record: str) -> None:
        nonlocal file, kept
        file = file or FileIO(path, "w")
        _write_all(file, (between if kept else begin) + record)
        kept = file.tell()

    try:
        yield write
    finally:
        if file is not None:
            with file:
                file.seek(kept)  # a signal or a full disk may have cut off a record
                file.truncate()
                _write_all(file, end(kept > 0))
    if file is None:
        path.write_text(end(False), encoding="utf-8")


def _write_all(file: FileIO, text: str) -> None:
    rest = text.encode(errors="backslashreplace")  # the name of a file may hold bytes that are no UTF-8
    while rest:
        rest = rest[file.write(rest) :]
