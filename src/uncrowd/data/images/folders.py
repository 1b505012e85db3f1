"""The folders near an annotation file that may hold its images."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from uncrowd.data.images.listing import Listings

# Words in the names of files and folders -> the split they mean. The first that is in a name counts: test-dev is test.
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "dev": "val",
}


def image_folders(annotations: Path, split: str, listings: Listings) -> list[Path]:
    """Returns the existing folders in which the images of an annotation file are searched, the likeliest first."""
    here, above = annotations.parent, annotations.parent.parent
    own = annotations.stem.split("_", 1)[-1]  # instances_train2017 -> train2017
    split = split_of(annotations.stem) or split
    named = [own, *(word for word, meant in SPLIT_WORDS.items() if meant == split)]
    inside = [*(f"{images}/{name}" for images in ("images", "Images") for name in named), *named]
    inside += ["Images", "images", "data", "JPEGImages"]
    folders = [here, *(here / name for name in inside), *(above / name for name in inside)]
    # Siblings are searched only beside annotations/: other siblings may belong to other datasets.
    beside = _folders_of(split, above, listings) if is_annotations_folder(here) else []
    for sibling in [*_folders_of(split, here, listings), *beside]:  # test2017, CrowdHuman_train01
        folders += [sibling, sibling / "Images", sibling / "images"]
    return [folder for folder in dict.fromkeys([*folders, above]) if folder.is_dir()]


class SearchArea:
    """Where the images of one annotation file are searched.

    Around the dataset there may be others. So images are taken by the ends of their names only inside it, and only its
    image folders are searched to the bottom.

    split: that of the images, None if unknown. here, root: the folders of the annotation file and of the dataset. best:
    the folder that has most of the images, None if none has any. folders: all that `image_folders` returns, `best`
    first. inside: those in the dataset. trees: those that are searched to the bottom.
    """

    def __init__(self, annotations: Path, folders: Sequence[Path], best: Path | None) -> None:
        here = annotations.parent
        inner = is_annotations_folder(here) or here.name.lower() in SPLIT_WORDS
        root = here.parent if inner else here
        self.split = split_of(annotations.stem) or SPLIT_WORDS.get(here.name.lower())
        self.here, self.root, self.best = str(here), str(root), best
        self._absolute_root = os.path.abspath(root)
        self.folders = [str(folder) for folder in dict.fromkeys([best or folders[0], *folders])]
        self.inside = list(filter(self.contains, self.folders))
        self.trees = [folder for folder in self.inside if Path(folder) not in (here, here.parent)]

    def contains(self, path: str) -> bool:
        """Whether a path is that of the dataset's folder or leads into it."""
        return f"{os.path.abspath(path)}{os.sep}".startswith(os.path.join(self._absolute_root, ""))

    def shown(self, path: str) -> str:
        """Returns a path as messages show it: relative to the dataset's folder if it leads into it."""
        return path.removeprefix(os.path.join(self.root, ""))


def split_of(name: str) -> str | None:
    """Returns "train", "val" or "test" if a file or folder name says so: `instances_val2017`, `Training`."""
    for word, split in SPLIT_WORDS.items():
        if re.search(rf"(?<![a-z]){word}(?![a-z])", name.lower()):
            return split
    return None


def is_annotations_folder(folder: Path) -> bool:
    """Whether a folder is named as those that hold annotation files: `annotations`, `Annotations`, `annotation`."""
    return folder.name.lower().startswith("annotation")


def _folders_of(split: str, folder: Path, listings: Listings) -> list[Path]:
    return [folder / name for name in sorted(listings.of(str(folder)).folders) if split_of(name) == split]
