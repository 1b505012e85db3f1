"""Where the pictures of an annotation file lie, found by looking for the first of them."""

import re
from collections.abc import Sequence
from pathlib import Path

# Enough to see past a missing file or two, few enough for a network drive.
TRIED = 20
ALIASES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


def find_pictures(
    annotations: Path, file_names: Sequence[str], split: str, given: Path | None = None
) -> tuple[Path | None, list[Path]]:
    """The folder that holds most of the first 20 `file_names`, and all folders looked at.

    The folder is None when none holds any, and the annotation file's own when there are no names to look for. Where
    the caller has `given` one, no other is tried.
    """
    folders = _candidates(annotations, split) if given is None else [given]
    tried = file_names[:TRIED]
    if not tried:
        return folders[0], folders
    held = [sum(_is_file(folder / name) for name in tried) for folder in folders]
    best = max(range(len(folders)), key=held.__getitem__)
    return (folders[best] if held[best] else None), folders


def split_of(name: str) -> str | None:
    """ "train", "val" or "test" where a file's or folder's name says so: `instances_val2017`, `valid`, `test-dev`."""
    for split, aliases in ALIASES.items():
        if re.search(rf"(?<![a-z])({'|'.join(aliases)})(?![a-z])", name.lower()):
            return split
    return None


def _candidates(annotations: Path, split: str) -> list[Path]:
    here, above = annotations.parent, annotations.parent.parent
    own = annotations.stem.split("_", 1)[-1]  # instances_train2017 -> train2017
    named = [own, *ALIASES.get(split_of(annotations.stem) or split, (split,))]
    inside = [*(f"images/{name}" for name in named), *named, "images", "data", "JPEGImages"]
    folders = [here, *(here / name for name in inside), *(above / name for name in inside), above]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system allows
        return False
