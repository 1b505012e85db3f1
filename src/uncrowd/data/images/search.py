"""Searches folders for files whose names are written differently in an annotation file.

Annotation tools write names with backslashes, URL-encoded, without a suffix, or as paths of the exporting machine.
"""

import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from uncrowd.data.images.folders import split_of
from uncrowd.data.images.listing import Listings, fold, has_suffix

# The most folders below image folders that are searched, so that a network drive answers in time.
WALKED = 1000

# A name as folders and a file: ("images", "a.jpg").
Parts = tuple[str, ...]
# Name -> what it may mean, as `readings` returns it.
Readings = Mapping[str, Sequence[Parts]]


class Hit(NamedTuple):
    """A file that was found for a name: the reading of the name that led to it, and its path."""

    parts: Parts
    path: str


def readings(name: str) -> list[Parts]:
    r"""Returns what a file name may mean: as it is, with / for \, URL-decoded, or given in a query (`?d=a/b.jpg`)."""
    texts = [name]
    if "\\" in name:
        texts.append(name.replace("\\", "/"))
    address, _, query = texts[-1].partition("?")
    if query:
        texts += filter(has_suffix, [address, *(value for _, value in parse_qsl(query))])
    if "%" in name:
        texts += [unquote(text).replace("\\", "/") for text in texts]
    return list(filter(None, dict.fromkeys(map(_parts, texts)))) or [(name,)]  # "." names nothing


def by_whole_name(missing: Readings, folders: Sequence[str], listings: Listings) -> dict[str, Hit]:
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


def by_end(
    missing: Readings, places: Iterable[str], taken: set[str], listings: Listings
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
    for place in places if wanted else ():
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


def places(
    missing: Readings, folders: Sequence[str], trees: Sequence[str], split: str | None, listings: Listings
) -> Iterator[str]:
    """Yields each folder that may hold an image: `folders`, those below them that names mention, and all below `trees`.

    split: that of the images; folders below `trees` that belong to another split are left out.
    """
    seen: set[tuple[int, int] | str] = set()
    parents = {parts[:-1] for meant in missing.values() for parts in meant}
    ends = {parent[start:] for parent in parents for start in range(len(parent))}
    mentioned = (listings.descend(folder, end) for folder in folders for end in ends)
    for folder in [*folders, *filter(None, mentioned)]:
        if _is_new(folder, seen):
            yield folder
    walk = [*trees]
    walked: set[tuple[int, int] | str] = set()
    while walk and len(walked) < WALKED:
        folder = walk.pop(0)
        if not _is_new(folder, walked):  # a link may lead back to a folder above it
            continue
        if _is_new(folder, seen):
            yield folder
        below = sorted(listings.of(folder).folders)
        walk += [os.path.join(folder, name) for name in below if split is None or split_of(name) in (None, split)]


def _best(paths: dict[str, tuple[tuple[int, bool], Hit]]) -> list[Hit]:
    most = max(agreement for agreement, _ in paths.values())
    return [hit for agreement, hit in paths.values() if agreement == most]


def _parts(name: str) -> Parts:
    """Returns a name without what leads nowhere or out: a/./../b.jpg is b.jpg, and so is /../b.jpg."""
    path = posixpath.normpath(name) if "." in name[:-1].split("/") or ".." in name else name
    return tuple(part for part in path.split("/") if part not in ("", ".", ".."))


def _agreement(parts: Parts, path: str) -> tuple[int, bool]:
    """Returns how many folders at the end of both agree, and whether the names agree to the letter."""
    return agreeing_folders(parts, path), path.endswith(os.sep + parts[-1])


def agreeing_folders(parts: Parts, path: str) -> int:
    """Returns how many folders at the end of a name agree with those at the end of a path."""
    agreeing = 0
    for ours, theirs in zip(reversed(parts[:-1]), reversed(path.split(os.sep)[:-1]), strict=False):
        if fold(ours) != fold(theirs):
            break
        agreeing += 1
    return agreeing


def _is_new(folder: str, seen: set[tuple[int, int] | str]) -> bool:
    """Adds a folder to `seen`; returns whether it was not there under this or another name (a link, another case)."""
    try:
        status = os.stat(folder)
    except OSError:
        return False
    before = len(seen)
    seen.add((status.st_dev, status.st_ino))
    return len(seen) > before
