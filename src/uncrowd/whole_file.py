"""Writes files and new folders that appear whole or not at all."""

import shutil
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


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder beside `path`, which is moved to `path` when the block ends without an error.

    Raises InputError as `require_new_folder` does, and if the operating system refuses to write.
    """
    require_new_folder(path)
    absolute = path.absolute()
    beside = absolute.with_name(f".{absolute.name}.writing")
    try:
        shutil.rmtree(beside, ignore_errors=True)  # what a kill left
        beside.mkdir(parents=True)
        yield beside
        beside.replace(absolute)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}); name another folder.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def require_new_folder(path: Path) -> None:
    """Raises InputError, before any work is done, unless `path` does not exist or is an empty folder."""
    try:
        taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        raise InputError(f"{path} cannot be used ({error.strerror}); name another folder.") from error
    if taken:
        raise InputError(f"{path} exists already; name another folder.")
