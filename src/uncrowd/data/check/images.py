"""Compares the image files of a dataset with their records: each file is read, hashed and decoded."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.images.file import MAX_PIXELS, require_regular
from uncrowd.data.images.read import image_sizes, read_content, read_image
from uncrowd.data.problems import Problems, Rule
from uncrowd.errors import InputError
from uncrowd.structures import Sample

_REPLACED = "training puts another image in its place each time and counts it"

MISSING = Rule(kind="missing image", severity="warning", message="missing image files", training=_REPLACED)
UNREADABLE = Rule(
    kind="unreadable image", severity="warning", message="image files that cannot be decoded", training=_REPLACED
)
SWAPPED_SIZE = Rule(
    kind="swapped size",
    severity="warning",
    message="images whose records have width and height swapped",
    training=f"{_REPLACED}; swap them in the record",
)
OTHER_SIZE = Rule(
    kind="other size",
    severity="warning",
    message="images that differ in size from their records",
    training=_REPLACED,
)
MORE_PAGES = Rule(
    kind="several images in a file",
    severity="note",
    message="image files with several images",
    training="training uses the first of each",
)
DARK = Rule(
    kind="dark 16-bit image",
    severity="warning",
    message="image files whose 16-bit pixels use less than a quarter of their range",
    training="training sees them dark; rescale their pixels to 0..65535",
)
NONE_READABLE = Rule(
    kind="no readable image",
    severity="error",
    message="no image that can be used",
    training="replace the files, or export the dataset again; `uncrowd check --all` lists each with its reason",
    whole=True,
)
ALL_SWAPPED = Rule(
    kind="no readable image",
    severity="error",
    message="records with width and height swapped, so that no image can be used",
    training="swap them",
    whole=True,
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
    """The facts about one image file.

    The sizes, (height, width), are None if the file could not be decoded completely, and `reason` says why. pages: how
    many images it has. brightest: the largest value of 16-bit pixels that become dark.
    """

    missing: bool = False
    reason: str = ""
    digest: bytes | None = None
    stored: tuple[int, int] | None = None
    displayed: tuple[int, int] | None = None
    turned: bool = False
    pages: int = 1
    brightest: int | None = None

    def fits(self, size: tuple[int, int]) -> bool:
        """Whether an image whose record gives this size, (height, width), can be used."""
        return size in (self.stored, self.displayed)


def judge_readable(dataset: DetectionDataset, problems: Problems, max_pixels: int = MAX_PIXELS) -> None:
    """Adds to `problems` if no image of a dataset can be used. Decodes the images up to the first that can."""
    if not len(dataset):  # what left it without images is said already
        return
    reason = ""
    for sample in dataset:
        try:
            read_image(sample.path, sample.size, max_pixels=max_pixels)
            return
        except InputError as error:
            reason = reason or str(error).rstrip(".")
    rule = ALL_SWAPPED if all(map(_is_swapped, dataset)) else NONE_READABLE
    problems.add(rule, f"the first of {len(dataset)}: {reason}")


def inspect_images(dataset: DetectionDataset, max_pixels: int = MAX_PIXELS) -> list[ImageFacts]:
    """Reads and decodes every image of a dataset, in threads: Pillow releases the GIL while it decodes."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(partial(_inspect, max_pixels), map(dataset.path, range(len(dataset)))))


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
            problems.add(UNREADABLE, fact.reason)
        else:
            if fact.pages > 1:
                problems.add(MORE_PAGES, f"{path}: {fact.pages}")
            if fact.brightest is not None:
                problems.add(DARK, f"{path}: 0 to {fact.brightest} of 65535")
            rule = _compare((int(dataset.sizes[index, 0]), int(dataset.sizes[index, 1])), fact)
            if rule is not None:
                problems.add(rule, f"{path}: {fact.stored[1]}x{fact.stored[0]}, record {_record(dataset, index)}")


def _compare(record: tuple[int, int], fact: ImageFacts) -> Rule | None:
    as_displayed, as_stored = record == fact.displayed, record == fact.stored
    if not fact.fits(record):
        return SWAPPED_SIZE if record[::-1] == fact.displayed else OTHER_SIZE
    if not fact.turned:
        return None
    if as_displayed and as_stored:
        return TURNED_EITHER_WAY
    return TURNED if as_displayed else NOT_TURNED


def _inspect(max_pixels: int, path: Path) -> ImageFacts:
    try:
        require_regular(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    except InputError as error:
        return ImageFacts(missing=isinstance(error.__cause__, FileNotFoundError), reason=str(error).rstrip("."))
    except OSError as error:
        return ImageFacts(reason=f"{path} cannot be read ({error.strerror})")
    try:
        content = read_content(path, max_pixels=max_pixels)
    except InputError as error:
        return ImageFacts(digest=digest, reason=str(error).rstrip("."))
    return ImageFacts(
        digest=digest,
        stored=content.stored,
        displayed=content.displayed,
        turned=content.turned,
        pages=content.pages,
        brightest=content.brightest if content.dark else None,
    )


def _is_swapped(sample: Sample) -> bool:
    try:
        return image_sizes(sample.path)[1] == sample.size[::-1]
    except InputError:
        return False


def _record(dataset: DetectionDataset, index: int) -> str:
    height, width = dataset.sizes[index]
    return f"{width}x{height}"
