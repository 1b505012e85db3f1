"""Writes files that appear whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from uncrowd.errors import InputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to; the file is moved to `path` when the block ends without an error.

    A full disk or a kill therefore leaves the previous file untouched. Raises InputError if `path` is a folder, a
    device or a pipe, and if the operating system refuses to write.
    """
    _refuse_folder_device_or_pipe(path)
    # always the same name, so that the next write replaces what a kill left
    beside = path.with_name(f".{path.name}.writing")
    try:
        yield beside
        beside.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} cannot be written: {reason}; what was there before is untouched.") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _refuse_folder_device_or_pipe(path: Path) -> None:
    try:
        in_the_way = path.exists() and not path.is_file()  # an administrator could replace /dev/null
    except OSError as error:  # such as a name that is too long
        raise InputError(f"{path} cannot be written: {error.strerror}.") from error
    if in_the_way:
        raise InputError(f"{path} cannot be written: it is a folder, a device or a pipe; name a file.")
