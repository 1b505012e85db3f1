"""Where the images of an annotation file lie, found by looking for them near it."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

# Enough to see past a missing file or two, few enough for a network drive.
TRIED = 20
ALIASES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def find_images(
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


def find_images_by_stem(
    annotations: Path, stems: Sequence[str], split: str, given: Path | None = None
) -> tuple[Path | None, list[str], list[Path]]:
    """A folder, the file names in it, and all folders looked at, where a format leaves out the names' suffixes.

    The images may lie in several folders, as CrowdHuman's three archives of training images do once unpacked; the
    one returned is then above them all. An image that is in none of them is given the suffix .jpg. The folder is None
    when there is no image at all. Folders are listed once, so that thousands of names cost no look-up each.
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
    """ "train", "val" or "test" where a file's or folder's name says so: `instances_val2017`, `valid`, `test-dev`."""
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
    # Only beside annotations/: what else lies beside a dataset's folder belongs to others.
    beside = _folders_of(split, above) if here.name.startswith("annotation") else []
    for sibling in [*_folders_of(split, here), *beside]:  # test2017, CrowdHuman_train01
        folders += [sibling, sibling / "Images", sibling / "images"]
    return [folder for folder in dict.fromkeys([*folders, above]) if folder.is_dir()]


def _folders_of(split: str, folder: Path) -> list[Path]:
    return [folder / name for name in _names_in(folder) if split_of(name) == split]


def _images_in(folder: Path) -> dict[str, str]:
    """Stem -> name; of two images with one stem the first by name."""
    images: dict[str, str] = {}
    for name in _names_in(folder):
        stem, suffix = os.path.splitext(name)  # noqa: PTH122, a Path for each of thousands is slow
        if suffix.lower() in SUFFIXES:
            images.setdefault(stem, name)
    return images


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except OSError:  # not one we may look into
        return []


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system allows
        return False
