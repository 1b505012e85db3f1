"""Folders, each read once from the disk, in which names are also found that differ in case or Unicode form."""

import os
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

# The suffixes by which files count as images where a name has none.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jp2", ".avif")
_JUNK = {"__macosx", "thumbs.db", "desktop.ini"}


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What is in one folder. `files` and `folders` are names; the others map a folded name to names.

    by_name: files by name. by_stem: image files by their name without suffix. below: folders by name.
    """

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    by_name: dict[str, list[str]] = field(default_factory=dict)
    by_stem: dict[str, list[str]] = field(default_factory=dict)
    below: dict[str, list[str]] = field(default_factory=dict)


class Listings:
    """The listings of folders. A folder is read when it is first asked for; one that cannot be read is empty.

    Paths are strings, because a `Path` for each of 100,000 images is slow.
    """

    def __init__(self) -> None:
        self._listings: dict[str, Listing] = {}
        self._descended: dict[tuple[str, tuple[str, ...]], str | None] = {}

    def of(self, folder: str) -> Listing:
        """Returns the listing of a folder."""
        if folder not in self._listings:
            self._listings[folder] = _list(folder)
        return self._listings[folder]

    def file(self, folder: str, parts: tuple[str, ...]) -> str | None:
        """Returns the path of the file that the names `parts` lead to from `folder`, as `names` finds it, or None."""
        parent = self.descend(folder, parts[:-1])
        found = [] if parent is None else self.names(parent, parts[-1])
        return os.path.join(parent, found[0]) if parent is not None and found else None

    def names(self, folder: str, name: str) -> list[str]:
        """Returns the files in a folder that `name` may mean: that very file, else those whose folded name is the same.

        A name without the suffix of an image also means the image with this stem; of several the first by name.
        """
        listing = self.of(folder)
        if name in listing.files:
            return [name]
        folded = fold(name)
        return listing.by_name.get(folded) or ([] if has_suffix(name) else listing.by_stem.get(folded, [])[:1])

    def descend(self, folder: str, parts: tuple[str, ...]) -> str | None:
        """Returns the folder that the names `parts` lead to from `folder`, or None."""
        if not parts:
            return folder
        key = (folder, parts)
        if key not in self._descended:
            parent = self.descend(folder, parts[:-1])
            found = [] if parent is None else self._folders(parent, parts[-1])
            path = os.path.join(parent, found[0]) if parent is not None and found else None
            self._descended[key] = path
        return self._descended[key]

    def _folders(self, folder: str, name: str) -> list[str]:
        listing = self.of(folder)
        return [name] if name in listing.folders else listing.below.get(fold(name), [])


def fold(name: str) -> str:
    """Returns what two names share that differ only in case or in Unicode form (macOS writes é as e and an accent)."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def has_suffix(name: str) -> bool:
    """Whether a name ends as that of an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_junk(name: str) -> bool:
    """Whether an operating system leaves files or folders of this name beside data: `._x.png`, `__MACOSX`."""
    return name.startswith(".") or name.lower() in _JUNK


def _list(folder: str) -> Listing:
    files: list[str] = []
    folders: list[str] = []
    with suppress(OSError, ValueError):  # no permission, no folder, or an impossible name
        for name, is_folder in sorted(entries(folder)):
            (folders if is_folder else files).append(name)
    listing = Listing(files=frozenset(files), folders=frozenset(folders))
    for name in files:
        folded = fold(name)
        listing.by_name.setdefault(folded, []).append(name)
        if has_suffix(name):
            listing.by_stem.setdefault(folded[: folded.rindex(".")], []).append(name)
    for name in folders:
        listing.below.setdefault(fold(name), []).append(name)
    return listing


def entries(folder: str) -> Iterator[tuple[str, bool]]:
    """Yields the name of each file and folder in a folder, without junk, and whether it is a folder. Raises OSError."""
    with os.scandir(folder) as found:
        for entry in found:
            if not is_junk(entry.name):
                yield entry.name, _is_folder(entry)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
