"""Finds the folder that holds the images of an annotation file, by searching near that file."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

# So many that a few missing files do no harm, so few that a network drive answers quickly.
TRIED = 20
ALIASES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def find_images(
    annotations: Path, file_names: Sequence[str], split: str, given: Path | None = None
) -> tuple[Path | None, list[Path]]:
    """Returns the folder that holds most of the first 20 `file_names`, and all folders that were searched.

    The folder is None if no folder holds any of them, and that of the annotation file if `file_names` is empty. If a
    folder is `given`, no other is searched.
    """
    folders = _candidates(annotations, split) if given is None else [given]
    tried = file_names[:TRIED]
    if not tried:
        return folders[0], folders
    held = [sum(_is_file(folder / name) for name in tried) for folder in folders]
    best = max(range(len(folders)), key=held.__getitem__)
    return (folders[best] if held[best] else None), folders


def find_images_by_stem(
    annotations: Path, stems: Sequence[str], split: str, given: Path | None = None
) -> tuple[Path | None, list[str], list[Path]]:
    """Finds images by names without suffix; returns a folder, the file names in it, and all folders that were searched.

    The images may lie in several folders, as those of CrowdHuman's three training archives do; the returned folder is
    then their common parent. An image that is not found gets the suffix .jpg. The folder is None if no image is
    found. Each folder is listed once, because looking up thousands of names one by one is slow.
    """
    looked_in: list[Path] = []
    missing = set(stems)
    found: dict[str, Path] = {}
    for folder in _candidates(annotations, split) if given is None else [given]:
        if not missing:
            break
        looked_in.append(folder)
        here = {stem: folder / name for stem, name in _images_in(folder).items() if stem in missing}
        found |= here
        missing -= here.keys()
    holding = {path.parent for path in found.values()}
    above = Path(os.path.commonpath(holding)) if holding else annotations.parent
    names = [str(found[stem].relative_to(above)) if stem in found else f"{stem}.jpg" for stem in stems]
    return (above if found or not stems else None), names, looked_in


def split_of(name: str) -> str | None:
    """Returns "train", "val" or "test" if a file or folder name says so: `instances_val2017`, `test-dev`."""
    for split, aliases in ALIASES.items():
        if re.search(rf"(?<![a-z])({'|'.join(aliases)})(?![a-z])", name.lower()):
            return split
    return None


def _candidates(annotations: Path, split: str) -> list[Path]:
    here, above = annotations.parent, annotations.parent.parent
    own = annotations.stem.split("_", 1)[-1]  # instances_train2017 -> train2017
    split = split_of(annotations.stem) or split
    named = [own, *ALIASES.get(split, (split,))]
    inside = [*(f"images/{name}" for name in named), *named, "Images", "images", "data", "JPEGImages"]
    folders = [here, *(here / name for name in inside), *(above / name for name in inside)]
    # Siblings are searched only beside annotations/: other siblings may belong to other datasets.
    beside = _folders_of(split, above) if here.name.startswith("annotation") else []
    for sibling in [*_folders_of(split, here), *beside]:  # test2017, CrowdHuman_train01
        folders += [sibling, sibling / "Images", sibling / "images"]
    return [folder for folder in dict.fromkeys([*folders, above]) if folder.is_dir()]


def _folders_of(split: str, folder: Path) -> list[Path]:
    return [folder / name for name in _names_in(folder) if split_of(name) == split]


def _images_in(folder: Path) -> dict[str, str]:
    """Returns stem -> file name; if two images share a stem, the first by name."""
    images: dict[str, str] = {}
    for name in _names_in(folder):
        stem, suffix = os.path.splitext(name)  # noqa: PTH122, a Path for each of thousands is slow
        if suffix.lower() in SUFFIXES:
            images.setdefault(stem, name)
    return images


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except OSError:  # no permission, or no folder
        return []


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system allows
        return False
