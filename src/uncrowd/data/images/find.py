"""Finds the image file of each record, and says how the names in the annotation file had to be understood."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from uncrowd.data.images.folders import SPLIT_WORDS, image_folders, is_annotations_folder, split_of
from uncrowd.data.images.listing import Listings, fold, has_suffix
from uncrowd.data.images.search import Hit, Readings, agreeing_folders, by_end, by_whole_name, places, readings
from uncrowd.data.problems import Problems, Rule

# How many images decide which folder is theirs, and how many are then looked up in that folder. Both samples are spread
# over the annotation file, and so small that a network drive answers quickly.
TRIED, CHECKED = 20, 1000
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
    if best is not None and not any(map(_leads_out, names)) and _all_in(best, _spread(names, CHECKED)):
        return best, list(names)
    search = _Search(annotations, list(dict.fromkeys([best or folders[0], *folders])), listings)
    search.find(dict.fromkeys(names))
    search.report(names, problems, best, suffixed=suffixed)
    folder, files = search.result(best)
    return folder, [files.get(name, name if suffixed else f"{name}.jpg") for name in names]


class _Search:
    """The search for images of which not all are where their names say.

    whole, ends: the files that were found by whole names and by the ends of names. outside: those out of the dataset's
    folder. unclear: the paths that a name could mean, where these are several.
    """

    def __init__(self, annotations: Path, folders: list[Path], listings: Listings) -> None:
        here = annotations.parent
        self._split = split_of(annotations.stem) or SPLIT_WORDS.get(here.name.lower())
        self._root = here.parent if is_annotations_folder(here) or here.name.lower() in SPLIT_WORDS else here
        self._here, self._folders, self._listings = str(here), list(map(str, folders)), listings
        # Around the dataset there may be others. Only in it are images taken by the ends of their names, and only image
        # folders are searched to the bottom.
        self._inside = list(filter(self._is_inside, self._folders))
        self._trees = [folder for folder in self._inside if Path(folder) not in (here, here.parent)]
        # Where images were searched by the ends of their names.
        self._places: list[str] = []
        self.whole: dict[str, Hit] = {}
        self.ends: dict[str, Hit] = {}
        self.outside: dict[str, Hit] = {}
        self.unclear: dict[str, list[str]] = {}

    def find(self, names: Iterable[str]) -> None:
        """Finds as many of the names as possible."""
        staying = {name: readings(name) for name in names if not _leads_out(name)}
        leading_out = {name: readings(name) for name in names if name not in staying}
        followed = {name: Hit((), path) for name in leading_out if (path := self._follow(name)) is not None}
        self.whole = {name: hit for name, hit in followed.items() if self._is_inside(hit.path)}
        self.whole |= by_whole_name(staying, self._folders, self._listings)
        self.whole |= by_whole_name(self._missing(leading_out), self._inside, self._listings)
        missing = self._missing(staying | leading_out)
        if missing:
            self._places = list(places(missing, self._inside, self._trees, self._split, self._listings))
            taken = {hit.path for hit in self.whole.values()}
            self.ends, self.unclear = by_end(missing, self._places, taken, self._listings)
        # Last, because a file of the dataset is meant rather than one elsewhere on this machine.
        self.outside = {name: hit for name, hit in followed.items() if name not in self.whole | self.ends}

    def report(self, names: Sequence[str], problems: Problems, best: Path | None, *, suffixed: bool) -> None:
        """Adds how each name was understood, or why it was not, to `problems`."""
        if not (self.whole or self.ends or self.outside):
            problems.add(self._not_found(names[0]), f"{names[0]} in none of {', '.join(self._folders)}", len(names))
            return
        for name in names:
            rules, file = self._judge(name, best, suffixed=suffixed)
            for rule in rules:
                problems.add(rule, f"{name}: {file}")

    def result(self, best: Path | None) -> tuple[Path, dict[str, str]]:
        """Returns a folder and the file of each name: relative to the folder, or absolute if it is outside.

        The folder is `best` if all images are in it, else the common parent of all.
        """
        paths = {name: hit.path for name, hit in (self.whole | self.ends).items()}
        parents = {os.path.dirname(path) for path in paths.values()}
        folder = Path(os.path.commonpath(parents)) if parents else Path(self._here)
        if best is not None and folder.is_relative_to(best):
            folder = best
        below = {parent: os.path.normpath(os.path.relpath(parent, folder)) for parent in parents}
        files: dict[str, str] = {}
        for name, path in paths.items():
            parent, file = os.path.split(path)
            files[name] = file if below[parent] == os.curdir else os.path.join(below[parent], file)
        return folder, files | {name: os.path.abspath(hit.path) for name, hit in self.outside.items()}

    def _missing(self, meant: Readings) -> Readings:
        return {name: parts for name, parts in meant.items() if name not in self.whole}

    def _follow(self, name: str) -> str | None:
        """Returns the file to which a name leads that leads out of its folder, if there is one."""
        path = os.path.normpath(os.path.join(self._folders[0], name))
        if os.path.basename(path) not in self._listings.of(os.path.dirname(path)).files:
            return None
        return os.path.join(self._root, os.path.relpath(path, self._root)) if self._is_inside(path) else path

    def _is_inside(self, path: str) -> bool:
        return Path(os.path.abspath(path)).is_relative_to(self._root.absolute())

    def _judge(self, name: str, best: Path | None, *, suffixed: bool) -> tuple[list[Rule], str]:
        """Returns what is to be said of a name, and the file or files that it stands for."""
        if name in self.outside:
            return [LEADS_OUT], self.outside[name].path
        if name in self.whole:
            hit = self.whole[name]
            if not hit.parts or hit.path == os.path.join(self._folders[0], name):
                return [], ""
            elsewhere = suffixed and best is not None and not hit.path.startswith(os.path.join(best, ""))
            rules = _deeds(name, hit, suffixed=suffixed)
            return [*rules, *([OTHER_FOLDER] if elsewhere else [])], self._shown(hit.path)
        if name in self.ends:
            hit = self.ends[name]
            return [*_deeds(name, hit, suffixed=suffixed), OTHER_FOLDER], self._shown(hit.path)
        if name in self.unclear:
            return [AMBIGUOUS], " or ".join(map(self._shown, self.unclear[name][:2]))
        similar = self._of_other_suffix(name)
        return ([] if similar is None else [NEARLY]), similar or ""

    def _not_found(self, name: str) -> Rule:
        """Returns IMAGES_NOT_FOUND with the mend that the first name suggests."""
        if name in self.unclear:
            several = " or ".join(map(self._shown, self.unclear[name][:2]))
            mend = f"{name} may be {several}, so write the folders into the file names"
        elif (near := self._most_similar(name)) is not None:
            mend = f"{near} is the most similar image, so correct the file names or rename the images"
        elif (aside := self._in_other_folder(name)) is not None:
            mend = f"{IMAGES_NOT_FOUND.training}, because {aside} is in none of these"
        else:
            return IMAGES_NOT_FOUND
        return replace(IMAGES_NOT_FOUND, training=mend)

    def _most_similar(self, name: str) -> str | None:
        """Returns the image in the image folders whose name is most similar to a name, or None if there is no image."""
        images = {
            file: os.path.join(place, file)
            for place in self._places
            for files in self._listings.of(place).by_stem.values()
            for file in files
        }
        same_stem = self._of_other_suffix(name)
        if same_stem is not None or not images:
            return same_stem
        nearest = get_close_matches(readings(name)[-1][-1], images, n=1, cutoff=0)
        return self._shown(images[nearest[0]])

    def _of_other_suffix(self, name: str) -> str | None:
        """Returns the image whose name differs in its suffix alone: b.png for b.jpg."""
        stem = fold(os.path.splitext(readings(name)[-1][-1])[0])
        for place in self._places:
            if files := self._listings.of(place).by_stem.get(stem):
                return self._shown(os.path.join(place, files[0]))
        return None

    def _in_other_folder(self, name: str) -> str | None:
        """Returns the image of this name in a folder beside the annotation file that is no image folder."""
        for folder in sorted(self._listings.of(self._here).folders)[:ASIDE]:
            path = self._listings.file(self._here, (folder, readings(name)[-1][-1]))
            if path is not None:
                return self._shown(path)
        return None

    def _shown(self, path: str) -> str:
        return path.removeprefix(os.path.join(self._root, ""))


def _deeds(name: str, hit: Hit, *, suffixed: bool) -> list[Rule]:
    """Returns how a name was understood that led to a file, apart from the folder of the file."""
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
        rules += [NO_SUFFIX] if suffixed else []
    elif bare != file or folders != list(hit.parts[-1 - agreeing : -1]):
        rules.append(OTHER_LETTERS)
    return rules


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


def _leads_out(name: str) -> bool:
    """Whether a name leads out of the folder to which it is relative, or may do so."""
    return os.path.isabs(name) or (".." in name and ".." in name.split("/"))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is longer than the file system allows, or no text
        return False
