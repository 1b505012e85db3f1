"""Files that are there whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from uncrowd.errors import InputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields where to write, beside `path`; what was written is moved into place once all went well.

    So a full disk or a kill leaves what was there before. Raises InputError where a folder, a device or a pipe is in
    the place, and for whatever the operating system refuses meanwhile.
    """
    _refuse_what_is_no_file(path)
    beside = path.with_name(f".{path.name}.writing")  # always the same, so that what a kill leaves is replaced
    try:
        yield beside
        beside.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} cannot be written: {reason}; what was there before is untouched.") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _refuse_what_is_no_file(path: Path) -> None:
    try:
        in_the_way = path.exists() and not path.is_file()  # an administrator could move files over /dev/null
    except OSError as error:  # such as a name that is too long
        raise InputError(f"{path} cannot be written: {error.strerror}.") from error
    if in_the_way:
        raise InputError(f"{path} cannot be written: it is a folder, a device or a pipe; name a file.")
