"""Annotation files before they are read: how a file begins, and which file belongs to which split."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from uncrowd.data.images.folders import is_annotations_folder, split_of
from uncrowd.data.images.listing import entries
from uncrowd.errors import InputError

Found = TypeVar("Found")

# Every format shows itself within this many characters, in whatever order the keys are written.
HEAD = 65536


def head(file: Path) -> str:
    """Returns the beginning of a file as text. Raises InputError when the file cannot be read."""
    try:
        with file.open("rb") as stream:
            start = stream.read(4 * HEAD)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error}); check its permissions.") from error
    return decoded(start).lstrip("\ufeff \t\r\n")[:HEAD]


def decoded(content: bytes) -> str:
    """Returns the text of a file in UTF-8, UTF-16 or UTF-32, without the byte order mark that it may have."""
    return content.decode(json.detect_encoding(content), errors="replace").removeprefix("\ufeff")


def whole_text(file: Path) -> str:
    """Returns the text of a file, as `decoded` does. Raises InputError when it cannot be read."""
    try:
        return decoded(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); check its permissions.") from error


def by_split(root: Path, files_in: Callable[[Path], list[Path]]) -> dict[str, Path]:
    """Finds the annotation file of each split below `root`: in annotations/, in `root`, and in train/, valid/, test/.

    files_in: lists a format's annotation files directly in a folder. Of the three places the first that has a file
    named as a split counts for this split. A single file whose name says nothing is the training split. Raises
    InputError when several files could be those of one split.
    """
    named: dict[str, Path] = {}
    unnamed: list[Path] = []
    for place in annotation_folders(root):
        candidates: dict[str, list[Path]] = {}
        for file in (file for folder in place for file in files_in(folder)):
            split = split_of_file(file, root)
            (unnamed if split is None else candidates.setdefault(split, [])).append(file)
        named |= {split: only(files, split) for split, files in candidates.items() if split not in named}
    return named or ({"train": only(unnamed, "train")} if unnamed else {})


def in_order(found: Mapping[str, Found]) -> dict[str, Found]:
    """Returns what was found of each split, in the order train, val, test."""
    return {split: found[split] for split in ("train", "val", "test") if split in found}


def annotation_folders(root: Path) -> list[list[Path]]:
    """Returns the folders that may hold annotation files, in three places: annotations/, `root` itself, train/ etc."""
    folders = sorted(root / name for name, is_folder in _entries(root) if is_folder)
    return [
        [folder for folder in folders if is_annotations_folder(folder)],
        [root],
        [folder for folder in folders if split_of(folder.name) and not is_annotations_folder(folder)],
    ]


def files_with(folder: Path, *suffixes: str) -> list[Path]:
    """Returns the files directly in a folder with one of the suffixes, such as ".json". Links may lead nowhere."""
    found = _entries(folder)
    return sorted(folder / name for name, is_folder in found if not is_folder and name.lower().endswith(suffixes))


def split_of_file(file: Path, root: Path) -> str | None:
    """Returns the split that the name of a file says, or else, below `root`, that of its folder."""
    return split_of(file.stem) or (split_of(file.parent.name) if file.parent != root else None)


def _entries(folder: Path) -> list[tuple[str, bool]]:
    try:
        return list(entries(str(folder)))
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}); check its permissions.") from error


def only(files: list[Path], split: str) -> Path:
    """Returns the one file of a split. Raises InputError where there are several."""
    if len(files) > 1:
        names = " and ".join(map(str, files[:3]))
        raise InputError(f"{names} could each be the annotations of the {split} split; give one of them by name.")
    return files[0]
