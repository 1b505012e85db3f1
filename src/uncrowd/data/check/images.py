"""Compares the image files of a dataset with their records: each file is read, hashed and decoded."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.image import image_sizes, is_turned, read_image
from uncrowd.data.problems import Problems, Rule
from uncrowd.errors import InputError

_REPLACED = "training puts another image in its place each time and counts it"

MISSING = Rule(kind="missing image", severity="warning", message="missing image files", training=_REPLACED)
UNREADABLE = Rule(
    kind="unreadable image", severity="warning", message="image files that cannot be decoded", training=_REPLACED
)
OTHER_SIZE = Rule(
    kind="other size",
    severity="warning",
    message="images whose size is not the record's, turned or not",
    training=_REPLACED,
)
TURNED = Rule(
    kind="EXIF, record as displayed",
    severity="note",
    message="images that EXIF turns, with records of the displayed size",
    training="training turns them",
)
NOT_TURNED = Rule(
    kind="EXIF, record as stored",
    severity="note",
    message="images that EXIF turns, with records of the stored size",
    training="training leaves them as stored, where their boxes were drawn",
)
TURNED_EITHER_WAY = Rule(
    kind="EXIF, record fits both",
    severity="warning",
    message="images that EXIF turns or mirrors, with records that fit both ways",
    training="training turns them; see that their boxes were drawn on the turned image",
)
SAME_FILE = Rule(
    kind="duplicate file",
    severity="warning",
    message="image records of a file that an earlier record names",
    training="training uses each record as an image of its own; merge them",
)
SAME_CONTENT = Rule(
    kind="duplicate content",
    severity="warning",
    message="image files with the content of an earlier one",
    training="training uses each as an image of its own; keep one",
)


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """The facts about one image file. The sizes, (height, width), are None if it could not be decoded completely."""

    missing: bool = False
    digest: bytes | None = None
    stored: tuple[int, int] | None = None
    displayed: tuple[int, int] | None = None
    turned: bool = False


def inspect_images(dataset: DetectionDataset) -> list[ImageFacts]:
    """Reads and decodes every image of a dataset, in threads: Pillow releases the GIL while it decodes."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_inspect, map(dataset.path, range(len(dataset)))))


def check_images(dataset: DetectionDataset, facts: list[ImageFacts], problems: Problems) -> None:
    """Adds where files contradict their records to `problems`. If `facts` is empty, only the records are compared."""
    files: set[str] = set()
    contents: dict[bytes, str] = {}
    for index, name in enumerate(dataset.file_names.tolist()):
        if name in files:
            problems.add(SAME_FILE, f"{name}, image {dataset.ids[index]}")
        elif facts and (digest := facts[index].digest) is not None:
            if digest in contents:
                problems.add(SAME_CONTENT, f"{contents[digest]} and {name}")
            contents.setdefault(digest, name)
        files.add(name)
    for index, fact in enumerate(facts):
        path = dataset.path(index)
        if fact.missing:
            problems.add(MISSING, str(path))
        elif fact.stored is None:
            problems.add(UNREADABLE, str(path))
        else:
            rule = _compare((int(dataset.sizes[index, 0]), int(dataset.sizes[index, 1])), fact)
            if rule is not None:
                problems.add(rule, f"{path}: {fact.stored[1]}x{fact.stored[0]}, record {_record(dataset, index)}")


def _compare(record: tuple[int, int], fact: ImageFacts) -> Rule | None:
    as_displayed, as_stored = record == fact.displayed, record == fact.stored
    if not (as_displayed or as_stored):
        return OTHER_SIZE
    if not fact.turned:
        return None
    if as_displayed and as_stored:
        return TURNED_EITHER_WAY
    return TURNED if as_displayed else NOT_TURNED


def _inspect(path: Path) -> ImageFacts:
    try:
        digest = hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except FileNotFoundError:
        return ImageFacts(missing=True)
    except (OSError, ValueError):  # no permission, a folder, an impossible name
        return ImageFacts()
    try:
        read_image(path)
        stored, displayed = image_sizes(path)
        return ImageFacts(digest=digest, stored=stored, displayed=displayed, turned=is_turned(path))
    except InputError:
        return ImageFacts(digest=digest)


def _record(dataset: DetectionDataset, index: int) -> str:
    height, width = dataset.sizes[index]
    return f"{width}x{height}"
