"""YOLO as Ultralytics reads it (https://docs.ultralytics.com/datasets/detect/): data.yaml and a text file an image.

data.yaml names the classes and, for each split, a folder of images, a text file that lists images, or several of these.
The labels of images/a/1.jpg are in labels/a/1.txt. An image without such a file is background. A folder with images/,
labels/ and classes.txt, as Label Studio exports it, needs no data.yaml.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from uncrowd.data.dataset import DetectionDataset, pack_ids
from uncrowd.data.formats.collector import collector_paused
from uncrowd.data.formats.files import files_with, head, in_order, only, whole_text
from uncrowd.data.formats.format import Format, whatever_box
from uncrowd.data.formats.yolo_description import Description, read_description, root_of
from uncrowd.data.formats.yolo_labels import judge_shares, label_files, labels_without_image, pack_labels
from uncrowd.data.images.find import find_images
from uncrowd.data.images.folders import SPLIT_WORDS
from uncrowd.data.images.listing import IMAGE_SUFFIXES, Listings, has_suffix, is_junk
from uncrowd.data.images.names import Parts, readings
from uncrowd.data.images.read import displayed_sizes
from uncrowd.data.images.rules import IMAGES_NOT_FOUND
from uncrowd.data.problems import Problems, Rule
from uncrowd.errors import InputError
from uncrowd.structures import Categories
from uncrowd.words import first

LISTED_TWICE = Rule(
    kind="image listed twice",
    severity="warning",
    message="images that their split lists more than once",
    training="each counts once",
)
NO_SIZE = Rule(
    kind="no image size",
    severity="warning",
    message="images whose size is not known because their header cannot be read",
    training="training leaves them out",
    skips=True,
)
NO_LABELS = Rule(
    kind="no label files",
    severity="error",
    message="no label file for any image",
    training="put the labels of images/a/1.jpg into labels/a/1.txt, or beside the image",
    whole=True,
)
WITHOUT_IMAGE = Rule(
    kind="labels without an image",
    severity="warning",
    message=f"label files without an image of the same name ({', '.join(IMAGE_SUFFIXES)})",
    training="training does not use them",
)
ELSEWHERE = Rule(
    kind="folder elsewhere",
    severity="note",
    message="folders and lists of images that are not where the YAML file says",
    training="those in the folder of the dataset are used",
)


def read_yolo(annotations: Path, split: str = "train", *, images_needed: bool = True) -> DetectionDataset:
    """Reads one split of a YOLO dataset. Of the images the headers are read, because boxes are shares of their sizes.

    annotations: data.yaml, or a classes.txt beside images/ and labels/. images_needed: as in `read_coco`.

    The id of an image is its path below the dataset's folder, that of a class its number. The box of a polygon is that
    around it. Boxes are not clipped to the image; `skipped` counts those that training leaves out.

    Raises InputError when the file is missing or damaged, when images or labels are not found, and when a label has a
    class without a name.
    """
    dataset, problems = scan_yolo(annotations, split)
    problems.refuse_errors(annotations, except_for=() if images_needed else (IMAGES_NOT_FOUND,))
    return dataset


@collector_paused()
def scan_yolo(
    annotations: Path, split: str = "train", *, sizes: Mapping[str, tuple[int, int]] | None = None
) -> tuple[DetectionDataset, Problems]:
    """As `read_yolo`, but notes and leaves out bad labels and images instead of refusing the dataset.

    sizes: id -> (height, width), used for images whose header cannot be read. Raises InputError only where the file as
    a whole cannot be used.
    """
    problems, listings = Problems(), Listings()
    description = read_description(annotations)
    found = _images(annotations, description, split, listings, problems)
    root = description.bases[0]
    paths: list[str] = []
    ids: list[str] = []
    known: list[tuple[int, int]] = []
    for path, size in zip(found, displayed_sizes([Path(path) for path in found]), strict=True):
        id = Path(os.path.relpath(path, root)).as_posix()
        height_width = (sizes or {}).get(id) if isinstance(size, InputError) else size
        if height_width is None:
            problems.add(NO_SIZE, str(size).rstrip("."))
            continue
        paths.append(path)
        ids.append(id)
        known.append(height_width)
    labels = label_files(paths, listings)
    annotated = any(label is not None for label in labels) or split != "test"
    if paths and not any(labels) and annotated:
        problems.add(NO_LABELS, f"the first of {len(paths)}: {paths[0]}")
    problems.add_all(WITHOUT_IMAGE, labels_without_image(found, listings))
    numbers = sorted(description.names)
    packed = pack_labels(
        labels, known, {number: row for row, number in enumerate(numbers)}, problems, keypoints=description.keypoints
    )
    dataset = DetectionDataset(
        source=annotations,
        split=split,
        categories=Categories(ids=tuple(numbers), names=tuple(description.names[number] for number in numbers)),
        folder=root,
        ids=pack_ids(ids) if ids else np.array([], dtype=np.str_),
        file_names=np.array([os.path.relpath(path, root) for path in paths], dtype=np.str_),
        sizes=np.array(known, dtype=np.int64).reshape(-1, 2),
        **packed,
        skipped=problems.skipped,
        annotated=annotated,
    )
    return dataset, problems


def _images(file: Path, description: Description, split: str, listings: Listings, problems: Problems) -> list[str]:
    """The paths of the images of a split, each once."""
    paths: list[str] = []
    if split not in description.splits:
        raise InputError(f"{file} names no {split} split; it has {', '.join(description.splits)}.")
    for entry in description.splits[split]:
        place = _place(description.bases, entry, listings, problems)
        if place is None:
            mend = f"correct {split} in {file.name}, which is looked up in {first(description.bases, 2)}"
            problems.add(replace(IMAGES_NOT_FOUND, training=mend), entry)
        elif Path(place).is_dir():
            paths += _walk(place)
        else:
            paths += _listed(Path(place), split, problems)
    unique = list(dict.fromkeys(paths))
    problems.add_all(LISTED_TWICE, [path for path, times in Counter(paths).items() if times > 1])
    if not unique and IMAGES_NOT_FOUND not in problems:
        mend = f"put them there, or correct {split} in {file.name}"
        problems.add(replace(IMAGES_NOT_FOUND, training=mend), f"none in {first(description.splits[split], 3)}")
    return unique


def _place(bases: list[Path], entry: str, listings: Listings, problems: Problems) -> str | None:
    """Returns the folder or the list of images that an entry means; None where there is none.

    Roboflow writes ../train/images for train/images, and a path may be that of another machine: then its end counts,
    of two names or more, so that no two splits meet in one folder.
    """
    for base in bases:
        path = os.path.normpath(base / entry)
        if os.path.exists(path):
            return path
    for parts in readings(entry):
        for start in range(max(1, len(parts) - 1)):
            for base in bases:
                found = _below(str(base), parts[start:], listings)
                if found is not None:
                    problems.add(ELSEWHERE, f"{entry}: {found}")
                    return found
    return None


def _below(base: str, parts: Parts, listings: Listings) -> str | None:
    folder = listings.descend(base, parts)
    return listings.file(base, parts) if folder is None and parts[-1].lower().endswith(".txt") else folder


def _walk(place: str) -> list[str]:
    """The images in a folder and below, also where links lead; a folder that is reached twice is read once."""
    paths: list[str] = []
    seen: set[str] = set()
    for folder, below, files in os.walk(place, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not is_junk(name))
        paths += [os.path.join(folder, name) for name in sorted(files) if has_suffix(name) and not is_junk(name)]
    return paths


def _listed(file: Path, split: str, problems: Problems) -> list[str]:
    """The images that a text file lists, one a line."""
    lines = whole_text(file).splitlines()
    names = [line.strip().replace("\0", "") for line in lines if line.strip().replace("\0", "")]
    if not names:
        return []
    folder, files = find_images(file, names, split, problems)
    return [os.path.normpath(os.path.join(folder, name)) for name in files]


def _find(path: Path) -> dict[str, Path]:
    file = _in_folder(path) if path.is_dir() else path
    return {} if file is None else dict.fromkeys(in_order(read_description(file).splits), file)


def _in_folder(root: Path) -> Path | None:
    described = [file for file in files_with(root, ".yaml", ".yml") if file.is_file() and _describes(file)]
    if described:
        return only(described, "train")
    listings = Listings()
    labels = listings.descend(str(root), ("labels",))
    if labels is None or listings.descend(str(root), ("images",)) is None:
        return None
    return next((file for file in (root / "classes.txt", Path(labels) / "classes.txt") if file.is_file()), None)


def _describes(file: Path) -> bool:
    """Whether a YAML file names classes and a split; that of a model also has `nc`."""
    text = head(file)
    splits = "|".join(SPLIT_WORDS)
    return all(re.search(rf"^[\"']?({keys})[\"']?\s*:", text, re.MULTILINE) for keys in ("names|nc", splits))


def _recognises(file: Path) -> bool:
    return file.suffix.lower() in (".yaml", ".yml") or (
        file.name == "classes.txt" and (root_of(file) / "labels").is_dir()
    )


YOLO = Format(
    name="YOLO",
    protocol="coco",
    recognises=_recognises,
    find=_find,
    scan=whatever_box(scan_yolo),
    judge=judge_shares,
    unlisted="is not named in the YAML file",
)
