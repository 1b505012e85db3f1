"""Annotation files before they are read: how a file begins, and which file belongs to which split."""

from collections.abc import Callable
from pathlib import Path

from uncrowd.data.images_folder import split_of
from uncrowd.errors import InputError

# Every format shows itself within this many characters, in whatever order the keys are written.
HEAD = 65536


def head(file: Path) -> str:
    """Returns the beginning of a file as text. Raises InputError when the file cannot be read."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as stream:
            return stream.read(HEAD).lstrip()
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error}); check its permissions.") from error


def by_split(root: Path, files_in: Callable[[Path], list[Path]]) -> dict[str, Path]:
    """Finds the annotation file of each split below `root`: in annotations/, in `root`, and in train/, valid/, test/.

    files_in: lists a format's annotation files directly in a folder. The first of the three places that has a file
    named as a split decides. A single file whose name says nothing is the training split. Raises InputError when
    several files could be those of one split.
    """
    split_folders = sorted(folder for folder in root.iterdir() if folder.is_dir() and split_of(folder.name))
    places = [
        files_in(root / "annotations"),
        files_in(root),
        [file for folder in split_folders for file in files_in(folder)],
    ]
    for files in places:
        candidates: dict[str | None, list[Path]] = {}
        for file in files:
            in_folder = split_of(file.parent.name) if file.parent != root else None
            candidates.setdefault(split_of(file.stem) or in_folder, []).append(file)
        named = {split: _only(candidates[split], split) for split in ("train", "val", "test") if split in candidates}
        if named:
            return named
    unnamed = [file for files in places for file in files]
    return {"train": _only(unnamed, "train")} if unnamed else {}


def _only(files: list[Path], split: str) -> Path:
    if len(files) > 1:
        names = " and ".join(map(str, files[:3]))
        raise InputError(f"{names} could each be the annotations of the {split} split; give one of them by name.")
    return files[0]
