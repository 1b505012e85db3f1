"""What else is in the folder of a dataset, and why it is not read: no split is left out silently."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from uncrowd.data.formats.files import annotation_folders, files_with, split_of_file
from uncrowd.data.formats.foreign import MENDS, damage, other_format, why_none
from uncrowd.data.images.folders import split_of
from uncrowd.data.images.listing import is_junk
from uncrowd.errors import InputError
from uncrowd.words import first

# The most files of a folder without annotation files that are read to find out which format it has.
READ = 10_000
_SUFFIXES = (".json", ".jsonl", ".odgt")
_FOREIGN_SUFFIXES = (".xml", ".yaml", ".yml", ".csv", ".tsv", ".txt", ".json")


class PassedOver(NamedTuple):
    """damaged: split -> its annotation file, whose reader says what is wrong. sentences: about all others."""

    damaged: dict[str, Path]
    sentences: list[str]


def passed_over(root: Path, annotations: dict[str, Path], unlisted: str) -> PassedOver:
    """Returns what else in the folder `root` belongs to a split that `annotations` lacks.

    unlisted: what is said of a folder that is named as such a split.
    """
    damaged: dict[str, Path] = {}
    sentences: list[str] = []
    for folder in (folder for place in annotation_folders(root) for folder in place):
        files = files_with(folder, *_SUFFIXES)
        for file in files:
            split = split_of_file(file, root)
            if split is None or split in annotations:
                continue
            if _is_damaged(file):
                damaged.setdefault(split, file)
            else:
                sentences.append(f"{file.relative_to(root)} {_why_not(file)}")
        split = split_of(folder.name) if folder != root else None
        if split is not None and split not in annotations and not files:
            sentences.append(f"{folder.relative_to(root)}/ {unlisted}")
    return PassedOver(damaged, sentences)


def refuse_other_formats(path: Path, readable: str) -> None:
    """Raises InputError when a file, or one in a folder, has a known format that is not among the `readable` ones."""
    for file in [path] if path.is_file() else islice(_walk(path), READ):
        found = other_format(file)
        if found is not None:
            raise InputError(
                f"{file} looks like {found}, {MENDS.get(found, f'but only {readable} are read; convert it')}."
            )


def nothing_to_read(root: Path, readable: str) -> InputError:
    """Returns an error that says why the folder `root` has no annotation file in a `readable` format.

    Raises InputError itself where the folder has another format.
    """
    files = [f for place in annotation_folders(root) for folder in place for f in files_with(folder, *_SUFFIXES)]
    if not any(map(_is_damaged, files)):
        refuse_other_formats(root, readable)
    if files:
        why = [f"{file.relative_to(root)} {_why_not(file)}" for file in files]
        return InputError(f"{root} has no annotation file that can be read: {first(why, 3)}.")
    return InputError(
        f"{root} has no annotation file in it, in annotations/ or in train/; put a COCO JSON file such as "
        f"instances_train.json, CrowdHuman's annotation_train.odgt, YOLO's data.yaml or Pascal VOC's XML files there, "
        f"or give one by name."
    )


def _is_damaged(file: Path) -> bool:
    return not file.is_file() or damage(file) is not None


def _why_not(file: Path) -> str:
    if not file.is_file():
        return "is a link that leads nowhere; put the file itself there"
    found = other_format(file)
    return (
        why_none(file) if found is None else f"looks like {found}, {MENDS.get(found, 'which is not read; convert it')}"
    )


def _walk(root: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not is_junk(name))
        for name in sorted(files):
            if name.lower().endswith(_FOREIGN_SUFFIXES) and not is_junk(name) and Path(folder, name).is_file():
                yield Path(folder, name)
