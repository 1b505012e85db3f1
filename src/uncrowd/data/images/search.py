"""Searches the folders near an annotation file for the images that its names mean."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from uncrowd.data.images.folders import SearchArea, split_of
from uncrowd.data.images.listing import Listings, fold
from uncrowd.data.images.names import Parts, Readings, leads_out, readings

# The most folders below image folders that are searched, so that a network drive answers in time.
WALKED = 1000


class Hit(NamedTuple):
    """A file that was found for a name: the reading of the name that led to it, and its path."""

    parts: Parts
    path: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """The files that a search found for names, and where it searched.

    whole, ends: those that whole names and the ends of names led to. outside: those out of the dataset's folder.
    unclear: for other names the paths that they could mean, where these are several. places: the folders in which
    images were searched by the ends of their names; none if every whole name led to a file.
    """

    area: SearchArea
    listings: Listings
    whole: dict[str, Hit]
    ends: dict[str, Hit]
    outside: dict[str, Hit]
    unclear: dict[str, list[str]]
    places: list[str]


def search(names: Iterable[str], area: SearchArea, listings: Listings) -> Found:
    """Finds the files of as many of the names as possible: by their whole names, and then by the ends of these."""
    staying = {name: readings(name) for name in names if not leads_out(name)}
    leading_out = {name: readings(name) for name in names if name not in staying}
    followed = {name: Hit((), path) for name in leading_out if (path := _follow(name, area, listings)) is not None}
    whole = {name: hit for name, hit in followed.items() if area.contains(hit.path)}
    whole |= _by_whole_name(staying, area.folders, listings)
    whole |= _by_whole_name(_without(leading_out, whole), area.inside, listings)
    missing = _without(staying | leading_out, whole)
    places = list(_places(missing, area, listings)) if missing else []
    ends, unclear = _by_end(missing, places, {hit.path for hit in whole.values()}, listings)
    # Last, because a file of the dataset is meant rather than one elsewhere on this machine.
    outside = {name: hit for name, hit in followed.items() if name in missing and name not in ends}
    return Found(area=area, listings=listings, whole=whole, ends=ends, outside=outside, unclear=unclear, places=places)


def agreeing_folders(parts: Parts, path: str) -> int:
    """Returns how many folders at the end of a name agree with those at the end of a path."""
    agreeing = 0
    for ours, theirs in zip(reversed(parts[:-1]), reversed(path.split(os.sep)[:-1]), strict=False):
        if fold(ours) != fold(theirs):
            break
        agreeing += 1
    return agreeing


def _without(meant: Readings, found: dict[str, Hit]) -> Readings:
    return {name: parts for name, parts in meant.items() if name not in found}


def _follow(name: str, area: SearchArea, listings: Listings) -> str | None:
    """Returns the file to which a name leads that leads out of its folder, if there is one."""
    path = os.path.normpath(os.path.join(area.folders[0], name))
    if os.path.basename(path) not in listings.of(os.path.dirname(path)).files:
        return None
    return os.path.join(area.root, os.path.relpath(path, area.root)) if area.contains(path) else path


def _by_whole_name(missing: Readings, folders: Sequence[str], listings: Listings) -> dict[str, Hit]:
    """Returns the files that whole names lead to. If several folders have such a file, that of the first counts."""
    found: dict[str, Hit] = {}
    for folder in folders:
        for name, meant in missing.items():
            hits = (Hit(parts, path) for parts in meant if (path := listings.file(folder, parts)) is not None)
            hit = next(hits, None)
            if hit is not None:
                found[name] = hit
        missing = {name: meant for name, meant in missing.items() if name not in found}
    return found


def _by_end(
    missing: Readings, places: list[str], taken: set[str], listings: Listings
) -> tuple[dict[str, Hit], dict[str, list[str]]]:
    """Returns the files in `places` that the ends of names lead to, and for the other names the paths that also fit.

    The file whose folders agree best with the end of a name is meant. If several agree equally well, or several names
    lead to one file, or a file is already `taken` by its whole name, nothing is found.
    """
    wanted: dict[str, list[tuple[str, Parts]]] = defaultdict(list)
    for name, meant in missing.items():
        for parts in meant:
            wanted[fold(parts[-1])].append((name, parts))
    hits: dict[str, dict[str, tuple[tuple[int, bool], Hit]]] = defaultdict(dict)
    for place in places:
        listing = listings.of(place)
        for key in (wanted.keys() & listing.by_name.keys()) | (wanted.keys() & listing.by_stem.keys()):
            for name, parts in wanted[key]:
                for file in listings.names(place, parts[-1]):
                    path = os.path.join(place, file)
                    agreement = _agreement(parts, path)
                    if path not in hits[name] or hits[name][path][0] < agreement:
                        hits[name][path] = agreement, Hit(parts, path)
    best = {name: _best(paths) for name, paths in hits.items() if paths}
    claims = Counter(hit.path for several in best.values() for hit in several)
    found = {
        name: several[0]
        for name, several in best.items()
        if len(several) == 1 and claims[several[0].path] == 1 and several[0].path not in taken
    }
    return found, {name: [hit.path for hit in several] for name, several in best.items() if name not in found}


def _places(missing: Readings, area: SearchArea, listings: Listings) -> Iterator[str]:
    """Yields each folder inside the dataset that may hold an image.

    These are the image folders, those below them that names mention, and all below `area.trees` but those of another
    split.
    """
    seen: set[tuple[int, int]] = set()
    parents = {parts[:-1] for meant in missing.values() for parts in meant}
    ends = {parent[start:] for parent in parents for start in range(len(parent))}
    mentioned = (listings.descend(folder, end) for folder in area.inside for end in ends)
    for folder in [*area.inside, *filter(None, mentioned)]:
        if _is_new(folder, seen):
            yield folder
    walk = [*area.trees]
    walked: set[tuple[int, int]] = set()
    while walk and len(walked) < WALKED:
        folder = walk.pop(0)
        if not _is_new(folder, walked):  # a link may lead back to a folder above it
            continue
        if _is_new(folder, seen):
            yield folder
        below = sorted(listings.of(folder).folders)
        fitting = [name for name in below if area.split is None or split_of(name) in (None, area.split)]
        walk += [os.path.join(folder, name) for name in fitting]


def _best(paths: dict[str, tuple[tuple[int, bool], Hit]]) -> list[Hit]:
    most = max(agreement for agreement, _ in paths.values())
    return [hit for agreement, hit in paths.values() if agreement == most]


def _agreement(parts: Parts, path: str) -> tuple[int, bool]:
    """Returns how many folders at the end of both agree, and whether the names agree to the letter."""
    return agreeing_folders(parts, path), path.endswith(os.sep + parts[-1])


def _is_new(folder: str, seen: set[tuple[int, int]]) -> bool:
    """Adds a folder to `seen`; returns whether it was not there under this or another name (a link, another case)."""
    try:
        status = os.stat(folder)
    except OSError:
        return False
    before = len(seen)
    seen.add((status.st_dev, status.st_ino))
    return len(seen) > before
