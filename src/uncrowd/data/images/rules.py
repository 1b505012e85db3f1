"""The rules on the file names in an annotation file: how they had to be understood, and why some lead to no image."""

import os
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

from uncrowd.data.images.listing import fold, has_suffix
from uncrowd.data.images.names import readings
from uncrowd.data.images.search import Found, Hit, agreeing_folders
from uncrowd.data.problems import Problems, Rule

# The most folders beside the annotation file that are searched for an image that is in no image folder.
ASIDE = 100

IMAGES_NOT_FOUND = Rule(
    kind="images not found",
    severity="error",
    message="images that cannot be found",
    training="put the images beside the annotation file, in images/, or in a folder named as the split",
)
BACKSLASHES = Rule(
    kind="backslashes in file name",
    severity="note",
    message="file names with backslashes",
    training="they are read with /",
)
ENCODED = Rule(
    kind="encoded file name", severity="note", message="file names that are URL-encoded", training="they are decoded"
)
NO_SUFFIX = Rule(
    kind="file name without suffix",
    severity="note",
    message="file names without a suffix",
    training="the images of these names are used",
)
OTHER_LETTERS = Rule(
    kind="file name in other letters",
    severity="note",
    message="file names whose case or Unicode form is not that of the image",
    training="the images are used",
)
OTHER_FOLDER = Rule(
    kind="image in another folder",
    severity="note",
    message="images that are not in the folder which their file name says",
    training="they are used, because no other image has such a name",
)
LEADS_OUT = Rule(
    kind="file name leads out",
    severity="note",
    message="file names that lead out of the dataset's folder",
    training="they are followed",
)
AMBIGUOUS = Rule(
    kind="ambiguous file name",
    severity="warning",
    message="file names that fit several images, or an image that another name fits",
    training="training uses other images in their place; write the folders into the file names",
)
NEARLY = Rule(
    kind="file name nearly right",
    severity="warning",
    message="file names of no image, although an image has a similar name",
    training="training uses other images in their place; correct the file names",
)


def judge_names(names: Sequence[str], found: Found, problems: Problems, *, suffixed: bool) -> None:
    """Adds to `problems` how each name was understood, or why it was not.

    suffixed: False if the format's names have no suffix.
    """
    if not (found.whole or found.ends or found.outside):
        rule = _not_found(names[0], found)
        problems.add(rule, f"{names[0]} in none of {', '.join(found.area.folders)}", len(names))
        return
    for name in names:
        rules, file = _judge(name, found)
        for rule in rules:
            if suffixed or rule is not NO_SUFFIX:
                problems.add(rule, f"{name}: {file}")


def _judge(name: str, found: Found) -> tuple[list[Rule], str]:
    """Returns the rules that a name breaks, and the file or files that it stands for."""
    area = found.area
    if name in found.outside:
        return [LEADS_OUT], found.outside[name].path
    if name in found.whole:
        hit = found.whole[name]
        if not hit.parts or hit.path == os.path.join(area.folders[0], name):
            return [], ""
        elsewhere = area.best is not None and not hit.path.startswith(os.path.join(area.best, ""))
        return [*_of_name(name, hit), *([OTHER_FOLDER] if elsewhere else [])], area.shown(hit.path)
    if name in found.ends:
        hit = found.ends[name]
        return [*_of_name(name, hit), OTHER_FOLDER], area.shown(hit.path)
    if name in found.unclear:
        return [AMBIGUOUS], " or ".join(map(area.shown, found.unclear[name][:2]))
    similar = _of_other_suffix(name, found)
    return ([] if similar is None else [NEARLY]), similar or ""


def _of_name(name: str, hit: Hit) -> list[Rule]:
    """Returns the rules that a name breaks which led to a file, apart from those on the folder of the file."""
    as_written = readings(name)[0]
    slashed = readings(name.replace("\\", "/"))[0] if "\\" in name else as_written
    rules: list[Rule] = []
    if "\\" in name and hit.parts != as_written:
        rules.append(BACKSLASHES)
    if hit.parts not in (as_written, slashed):
        rules.append(ENCODED)
    bare, file = hit.parts[-1], os.path.basename(hit.path)
    agreeing = agreeing_folders(hit.parts, hit.path)
    folders = hit.path.split(os.sep)[-1 - agreeing : -1]
    if not has_suffix(bare) and fold(bare) != fold(file):
        rules.append(NO_SUFFIX)
    elif bare != file or folders != list(hit.parts[-1 - agreeing : -1]):
        rules.append(OTHER_LETTERS)
    return rules


def _not_found(name: str, found: Found) -> Rule:
    """Returns IMAGES_NOT_FOUND with the mend that the first name suggests."""
    if name in found.unclear:
        several = " or ".join(map(found.area.shown, found.unclear[name][:2]))
        mend = f"{name} may be {several}, so write the folders into the file names"
    elif (near := _most_similar(name, found)) is not None:
        mend = f"{near} is the most similar image, so correct the file names or rename the images"
    elif (aside := _in_other_folder(name, found)) is not None:
        mend = f"{IMAGES_NOT_FOUND.training}, because {aside} is in none of these"
    else:
        return IMAGES_NOT_FOUND
    return replace(IMAGES_NOT_FOUND, training=mend)


def _most_similar(name: str, found: Found) -> str | None:
    """Returns the image in the image folders whose name is most similar to a name, or None if there is no image."""
    images = {
        file: os.path.join(place, file)
        for place in found.places
        for files in found.listings.of(place).by_stem.values()
        for file in files
    }
    same_stem = _of_other_suffix(name, found)
    if same_stem is not None or not images:
        return same_stem
    nearest = get_close_matches(readings(name)[-1][-1], images, n=1, cutoff=0)
    return found.area.shown(images[nearest[0]])


def _of_other_suffix(name: str, found: Found) -> str | None:
    """Returns the image whose name differs in its suffix alone: b.png for b.jpg."""
    stem = fold(os.path.splitext(readings(name)[-1][-1])[0])
    for place in found.places:
        if files := found.listings.of(place).by_stem.get(stem):
            return found.area.shown(os.path.join(place, files[0]))
    return None


def _in_other_folder(name: str, found: Found) -> str | None:
    """Returns the image of this name in a folder beside the annotation file that is no image folder."""
    here, listings = found.area.here, found.listings
    for folder in sorted(listings.of(here).folders)[:ASIDE]:
        path = listings.file(here, (folder, readings(name)[-1][-1]))
        if path is not None:
            return found.area.shown(path)
    return None
