"""Where the parts of a Pascal VOC dataset are: its XML files, its lists of images, its splits.

The annotations of a split are a list in ROOT/ImageSets/Main/ or a folder of XML files.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from uncrowd.data.formats.files import files_with, head, in_order, only
from uncrowd.data.images.folders import SPLIT_WORDS, is_annotations_folder
from uncrowd.data.images.listing import Listings
from uncrowd.errors import InputError
from uncrowd.words import first

# How many XML files of a folder show whether they are annotations.
TRIED = 10


def place_of(annotations: Path, split: str) -> Path:
    """Where one file for the whole split would lie: near it images are searched."""
    if not annotations.is_dir():
        return _root(annotations) / f"{split}.xml"
    inside = is_annotations_folder(annotations.parent) and annotations.name.lower() in SPLIT_WORDS
    return (annotations.parent if inside else annotations) / f"{split}.xml"


def find_splits(path: Path) -> dict[str, Path]:
    """Returns the annotations of each split. Raises InputError for a folder of several datasets, such as VOCdevkit."""
    if not path.is_dir():
        return {_split_of_list(path) or "train": path}
    lists = {split: file for file in _lists(path) if (split := _split_of_list(file)) is not None}
    if lists:
        return in_order(lists)
    folders = _folders_of_splits(path)
    devkits = [] if folders else [name for name in sorted(Listings().of(str(path)).folders) if _lists(path / name)]
    if devkits:
        raise InputError(f"{path} holds {first(devkits, 5)}, each a dataset of its own; give one of these folders.")
    return in_order({split: only(of_split, split) for split, of_split in folders.items()})


def _folders_of_splits(root: Path) -> dict[str, list[Path]]:
    """The folders of XML files by the split that they are named as."""
    folders: dict[str, list[Path]] = {}
    for folder in _folders(root):
        below = (SPLIT_WORDS.get(part.lower()) for part in folder.relative_to(root).parts)
        folders.setdefault(next(filter(None, below), "train"), []).append(folder)
    return folders


def _lists(root: Path) -> list[Path]:
    """The lists of images in ImageSets/Main/; trainval.txt only where there is no train.txt."""
    main, annotations = (Listings().descend(str(root), parts) for parts in (("ImageSets", "Main"), ("Annotations",)))
    if main is None or annotations is None:
        return []
    files = {file.stem.lower(): file for file in files_with(Path(main), ".txt")}
    if not any(SPLIT_WORDS.get(stem) == "train" for stem in files) and "trainval" in files:
        files["train"] = files["trainval"]
    return [file for stem, file in files.items() if stem in SPLIT_WORDS]


def _split_of_list(file: Path) -> str | None:
    return "train" if file.stem.lower() == "trainval" else SPLIT_WORDS.get(file.stem.lower())


def _folders(root: Path) -> Iterator[Path]:
    """The folders with XML files: `root`, and those that are named as splits or annotations, to two levels."""
    level = [root]
    for _ in range(3):
        for folder in level:
            if any(map(_is_annotation, files_with(folder, ".xml")[:TRIED])):
                yield folder
        below = [(folder, name) for folder in level for name in sorted(Listings().of(str(folder)).folders)]
        level = [folder / name for folder, name in below if _is_part(folder / name)]


def _is_part(folder: Path) -> bool:
    return is_annotations_folder(folder) or folder.name.lower() in SPLIT_WORDS


def _is_annotation(file: Path) -> bool:
    return file.is_file() and re.search(r"<annotation[\s>]", head(file)) is not None


def _root(annotations: Path) -> Path:
    """The dataset's folder, in which all splits are."""
    if not annotations.is_dir():
        return annotations.parent.parent.parent  # ROOT/ImageSets/Main/train.txt
    inner = annotations.parent if _is_part(annotations) else annotations
    return inner.parent if inner != annotations and _is_part(inner) else inner


def annotations_folder(image_list: Path) -> Path:
    """Returns the folder of the XML files to which a list in ImageSets/Main/ belongs."""
    root = _root(image_list)
    return Path(Listings().descend(str(root), ("Annotations",)) or root / "Annotations")


def all_files(annotations: Path) -> list[Path]:
    """The XML files of all splits: the classes of one are those of all. A split with several folders is left out."""
    if not annotations.is_dir():
        return files_with(annotations_folder(annotations), ".xml")
    alone = (folders[0] for folders in _folders_of_splits(_root(annotations)).values() if len(folders) == 1)
    return [file for folder in dict.fromkeys([*alone, annotations]) for file in files_with(folder, ".xml")]
