"""The folder of a run. One process at a time writes into it."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EAGAIN, EDEADLK
from itertools import count
from pathlib import Path
from shlex import quote
from typing import IO

from uncrowd.errors import InputError

CONFIG = "config.json"
LOCK = ".lock"


@contextmanager
def claimed(folder: Path | None, name: str) -> Iterator[Path]:
    """Yields the folder for a run and keeps other processes from writing a run into it meanwhile.

    folder: None takes the first free runs/NAME-NUMBER. What is created here and stays empty is removed at the end.
    Raises InputError when another process writes a run into the folder, and when it cannot be written.
    """
    try:
        folder, created = _make(folder, name)
    except OSError as error:
        raise _not_writable(error, folder or Path("runs")) from error
    try:
        with locked(folder):
            yield folder
    finally:
        for path in created:
            with suppress(OSError):  # it is not empty
                path.rmdir()


def refuse_a_run(folder: Path) -> None:
    """Raises InputError when the folder holds a run already."""
    if (folder / CONFIG).exists():
        raise InputError(
            f"{folder} already holds a run; go on with `--resume {quote(str(folder))}`, or name another with --out."
        )


def classes_of_run(folder: Path) -> dict[str, tuple[str, ...]] | None:
    """Returns the class map of the run in a folder; None where there is no run, or one with all classes."""
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("classes")
        return None if found is None else {str(name): tuple(map(str, of)) for name, of in found.items()}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):  # whoever reads the run says what is wrong
        return None


def copy_run(source: Path, destination: Path) -> None:
    """Copies all files of a run into another folder. Raises InputError when that holds a run or cannot be written.

    The configuration comes last, so that a folder with an incomplete copy holds no run.
    """
    refuse_a_run(destination)
    files = [file.relative_to(source) for file in source.rglob("*") if file.is_file()]
    files = [file for file in files if not any(part.startswith(".") for part in file.parts)]  # a lock, half a file
    try:
        for file in sorted(files, key=lambda file: file == Path(CONFIG)):
            target = destination / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, target)  # without its mode, which may be read-only
    except OSError as error:
        raise _not_writable(error, destination) from error


def _make(folder: Path | None, name: str) -> tuple[Path, list[Path]]:
    """Returns the folder and what had to be created for it, innermost first."""
    numbered = (Path("runs") / f"{name}-{number}" for number in count(1))
    for path in numbered if folder is None else [folder]:
        missing = [each for each in (path, *path.parents) if not each.exists()]
        try:
            path.mkdir(parents=True, exist_ok=folder is not None)
        except FileExistsError:
            if folder is not None:
                raise
        else:  # of two processes, only one creates a numbered folder
            return path, missing
    raise AssertionError("numbers never end")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing into an existing folder. Raises InputError as `claimed` does."""
    try:
        file = _open_locked(folder / LOCK)
    except OSError as error:
        raise _not_writable(error, folder) from error
    if file is None:
        raise InputError(
            f"Another process is writing into {folder}; wait until it ends, or name another folder with --out."
        )
    with file:
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file
                (folder / LOCK).unlink()


def _open_locked(path: Path) -> IO[bytes] | None:
    """Opens and locks a file; returns None when another process has locked it."""
    while True:
        file = path.open("ab")
        if not _lock(file):
            file.close()
            return None
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # its holder has just removed it, so the name is free


def _lock(file: IO[bytes]) -> bool:
    """Locks the file until this process closes it or ends; returns False when another process has locked it.

    Loading processes, which may outlive this one, hold no lock. Nothing is locked where the file system has no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (EACCES, EAGAIN, EDEADLK)
    return True


def _not_writable(error: OSError, folder: Path) -> InputError:
    reason = error.strerror or error
    return InputError(f"The folder {folder} cannot be written: {reason}; name another folder with --out.")
