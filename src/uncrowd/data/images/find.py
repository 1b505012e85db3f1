"""Finds the image file of each record of an annotation file."""

import os
from collections.abc import Sequence
from pathlib import Path

from uncrowd.data.images.folders import SearchArea, image_folders
from uncrowd.data.images.listing import Listings
from uncrowd.data.images.names import leads_out
from uncrowd.data.images.rules import judge_names
from uncrowd.data.images.search import Found, search
from uncrowd.data.problems import Problems

# How many images decide which folder is theirs, and how many are then looked up in that folder. Both samples are spread
# over the annotation file, and so small that a network drive answers quickly.
TRIED, CHECKED = 20, 1000


def find_images(
    annotations: Path,
    names: Sequence[str],
    split: str,
    problems: Problems,
    *,
    suffixed: bool = True,
) -> tuple[Path, list[str]]:
    """Returns the folder of the images of an annotation file, and the name of each image's file in it.

    names: the names in the annotation file. A name is looked up as it is, then with its separators, encoding, case,
    Unicode form or suffix corrected, and at last by its end, if exactly one image in the image folders has that end.
    suffixed: False if the format's names have no suffix, as CrowdHuman's IDs.

    A name that leads to no image is returned as it is, or with the suffix .jpg. Adds to `problems` how names were
    understood, and IMAGES_NOT_FOUND if there is no image at all. Names that are right cost a few look-ups; only if one
    is wrong are the folders listed, each once.
    """
    listings = Listings()
    folders = image_folders(annotations, split, listings)
    if not names:
        return folders[0], []
    best = _best_folder(folders, names) if suffixed else None
    if best is not None and not any(map(leads_out, names)) and _all_in(best, _spread(names, CHECKED)):
        return best, list(names)
    found = search(dict.fromkeys(names), SearchArea(annotations, folders, best), listings)
    judge_names(names, found, problems, suffixed=suffixed)
    folder, files = _in_one_folder(found)
    return folder, [files.get(name, name if suffixed else f"{name}.jpg") for name in names]


def _in_one_folder(found: Found) -> tuple[Path, dict[str, str]]:
    """Returns a folder and the file of each name: relative to the folder, or absolute if it is out of the dataset.

    The folder is `best` if all images are in it, else the common parent of all.
    """
    paths = {name: hit.path for name, hit in (found.whole | found.ends).items()}
    parents = {os.path.dirname(path) for path in paths.values()}
    folder = Path(os.path.commonpath(parents)) if parents else Path(found.area.here)
    if found.area.best is not None and folder.is_relative_to(found.area.best):
        folder = found.area.best
    below = {parent: os.path.normpath(os.path.relpath(parent, folder)) for parent in parents}
    files: dict[str, str] = {}
    for name, path in paths.items():
        parent, file = os.path.split(path)
        files[name] = file if below[parent] == os.curdir else os.path.join(below[parent], file)
    return folder, files | {name: os.path.abspath(hit.path) for name, hit in found.outside.items()}


def _best_folder(folders: list[Path], names: Sequence[str]) -> Path | None:
    """Returns the folder that holds most of the names that are tried, or None if none holds any."""
    tried = _spread(names, TRIED)
    held = [sum(_is_file(folder / name) for name in tried) for folder in folders]
    best = max(range(len(folders)), key=held.__getitem__)
    return folders[best] if held[best] else None


def _all_in(folder: Path, names: Sequence[str]) -> bool:
    return all(_is_file(folder / name) for name in names)


def _spread(names: Sequence[str], most: int) -> Sequence[str]:
    return names[:: -(-len(names) // most)]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is longer than the file system allows, or no text
        return False
