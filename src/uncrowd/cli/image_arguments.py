"""The images and videos that a command line names: files, and folders with all that is in them."""

import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NoReturn

from uncrowd.data.images.file import is_image_file, require_regular
from uncrowd.data.video.file import is_video_file
from uncrowd.errors import InputError
from uncrowd.words import one_line


def named_images(paths: Sequence[Path], skipped: Collection[Path]) -> list[Path]:
    """Returns the given files and the image files in the given folders, sorted by name and without duplicates.

    Images that cannot be read are among them, so that they are reported. The small files that macOS writes beside
    others (._name, __MACOSX) are not. Folders of `skipped` inside a given one are left out: they hold results of
    earlier calls. Raises InputError for a path that is no file or folder, for a folder without images, and for one that
    cannot be listed.
    """
    if not paths:
        raise InputError("Name image files or folders after the weights.")
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = _inside(path, skipped, is_image_file)
            if not inside:
                raise InputError(f"{path} has no images in it; give image files or a folder of them.")
            files += inside
        else:
            require_regular(path)
            files.append(path)
    return _each_once(files)


def named_videos(paths: Sequence[Path], skipped: Collection[Path]) -> list[Path]:
    """Returns the given video files and those in the given folders, in the order of `named_images`.

    Folders that have images as well stand for these, and a note names a video in them. Raises InputError where both
    video files and images are given.
    """
    folders = given_folders(paths)
    files = [path for path in paths if not path.is_dir()]
    given = [path for path in files if is_video_file(path)]
    inside = [file for folder in folders for file in _inside(folder, skipped, is_video_file)]
    if not given and not inside:
        return []
    images = [path for path in files if path not in given]
    images += [file for folder in folders for file in _inside(folder, skipped, is_image_file)[:1]]
    if not images:
        return _each_once([*given, *inside])
    if given:
        raise InputError(f"{given[0]} is a video and {images[0]} an image; name them in two calls.")
    print(one_line(f"note: videos beside images are left out; name them, such as {inside[0]}."), file=sys.stderr)
    return []


def path_below(file: Path, folders: Sequence[Path]) -> Path:
    """Returns the path of an image below the first of these folders that it is in, or its name if it is in none."""
    folder = next((path for path in folders if file.is_relative_to(path)), file.parent)
    return file.relative_to(folder)


def given_folders(paths: Sequence[Path]) -> list[Path]:
    """Returns the folders among the given paths."""
    return [path for path in paths if path.is_dir()]


def result_names(files: Sequence[Path], folders: Sequence[Path]) -> dict[Path, Path]:
    """Returns the path of each image's results in the output folder: its path below one of these folders, as .jpg.

    If images of two folders have the same path, the later one gets a number.
    """
    names: dict[Path, Path] = {}
    taken: set[str] = set()
    for file in files:
        plain = path_below(file, folders).with_suffix(".jpg")
        numbered = (plain if n == 1 else plain.with_stem(f"{plain.stem}-{n}") for n in count(1))
        names[file] = next(name for name in numbered if str(name).casefold() not in taken)
        taken.add(str(names[file]).casefold())
    return names


def _each_once(files: Sequence[Path]) -> list[Path]:
    """Returns the files without those that are named a second time, maybe by another way to their folder."""
    kept: dict[Path, Path] = {}
    for file in files:
        kept.setdefault(file.parent.resolve() / file.name, file)
    return list(kept.values())


def _inside(folder: Path, skipped: Collection[Path], wanted: Callable[[Path], bool]) -> list[Path]:
    return sorted(file for file in _files_below(folder, skipped) if wanted(file) and not _is_junk(file))


def _files_below(folder: Path, skipped: Collection[Path]) -> Iterator[Path]:
    """Yields all files in a folder and its subfolders, linked ones as well, each folder once."""
    seen = {each.resolve() for each in skipped} - {folder.resolve()}
    for here, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = Path(here).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(here) / name for name in names)


def _refuse(error: OSError) -> NoReturn:
    raise InputError(
        f"{error.filename} cannot be listed ({error.strerror}); allow that, or name the other images and folders."
    ) from error


def _is_junk(file: Path) -> bool:
    return file.name.startswith("._") or "__MACOSX" in file.parts
