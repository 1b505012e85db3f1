"""COCO JSON (https://cocodataset.org/#format-data), of which only boxes are read."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from uncrowd.config import unique_keys
from uncrowd.data.dataset import DetectionDataset, pack_ids
from uncrowd.data.formats.coco_annotations import Rows, pack_annotations
from uncrowd.data.formats.collector import collector_paused
from uncrowd.data.formats.files import HEAD, by_split, files_with, head
from uncrowd.data.formats.foreign import HOLDS_DETECTIONS, flaw
from uncrowd.data.formats.format import BoxKind, Format
from uncrowd.data.formats.values import LONGEST, as_id, as_length, as_whole, is_file_name
from uncrowd.data.images.find import find_images
from uncrowd.data.images.folders import split_of
from uncrowd.data.images.rules import IMAGES_NOT_FOUND
from uncrowd.data.problems import Problems, Rule
from uncrowd.errors import InputError
from uncrowd.structures import Categories, ImageId
from uncrowd.words import printable

BAD_CATEGORY = Rule(
    kind="incomplete class",
    severity="error",
    message="categories without a whole-numbered id and a name",
    training="give each category both, and no name with control characters",
)
NO_CATEGORIES = Rule(
    kind="no classes",
    severity="error",
    message="an empty list of categories",
    training="add a category for each class to `categories`",
)
DUPLICATE_CATEGORY = Rule(
    kind="duplicate class id",
    severity="error",
    message="categories that share one id",
    training="give each category an id of its own",
)
DUPLICATE_NAME = Rule(
    kind="duplicate class name",
    severity="error",
    message="categories that share one name",
    training="rename one, or merge them under one id",
)
NAMESAKE = Rule(
    kind="category named as its group",
    severity="note",
    message="categories without objects that group those of the same name, as Roboflow writes them",
    training="they are no classes",
)
NO_IMAGES = Rule(
    kind="no images",
    severity="error",
    message="an empty list of images",
    training="add a record for each image to `images`",
)
BAD_IMAGE = Rule(
    kind="incomplete image record",
    severity="error",
    message="image records without a valid id, file_name, width and height",
    training="fill them in (an id is a whole number or a string, width and height are whole numbers of pixels, "
    f"and no name is longer than {LONGEST} characters)",
)
DUPLICATE_IMAGE = Rule(
    kind="duplicate image id",
    severity="error",
    message="image records that share one id",
    training="give each image an id of its own, in its annotations too",
)
MIXED_IDS = Rule(
    kind="mixed image ids",
    severity="error",
    message="image ids that are numbers beside image ids that are strings",
    training="use one type for all, in the annotations too",
)


class _Image(NamedTuple):
    """What is kept of an image's record. size: (height, width)."""

    id: ImageId
    file_name: str
    size: tuple[int, int]


def read_coco(annotations: Path, split: str = "train", *, images_needed: bool = True) -> DetectionDataset:
    """Reads one COCO annotation file into a dataset. The images themselves are not opened.

    images_needed: False where only the boxes are used, as in scoring detections; the images then need not exist.

    Labels follow the order of the category ids. Crowd annotations become ignored boxes. An annotation without a box
    has that around its segmentation. An area is the file's own where it has one. Images without boxes are kept. A file
    of the test split may lack `annotations`, as COCO's image_info_test-dev2017.json does. Boxes are not clipped to the
    image; `skipped` counts those that training leaves out. Those without area, or outside the image, stay all the same,
    because scores count them as missed.

    Raises InputError when the file is missing, cut off or not COCO's, when the images are not found, or when a
    record contradicts another (unknown or duplicate ids) or lacks what training needs.
    """
    dataset, problems = scan_coco(annotations, split)
    problems.refuse_errors(annotations, except_for=() if images_needed else (IMAGES_NOT_FOUND,))
    return dataset


@collector_paused()
def scan_coco(annotations: Path, split: str = "train") -> tuple[DetectionDataset, Problems]:
    """As `read_coco`, but notes and leaves out bad records instead of refusing the file.

    Of two records with the same id the first is kept. Raises InputError only where the file as a whole cannot be
    used: it is missing, cut off, or not COCO's.
    """
    raw = _load(annotations, split)
    problems = Problems()
    annotations_of_file = raw.get("annotations", [])
    categories, labels = _categories(_without_namesakes(raw["categories"], annotations_of_file, problems), problems)
    images, rows = _images(raw["images"], problems)
    names = [image.file_name for image in images]
    folder, files = find_images(annotations, names, split, problems)
    sizes = [image.size for image in images]
    packed = pack_annotations(annotations_of_file, sizes, rows, labels, {*names, *categories.names}, problems)
    dataset = DetectionDataset(
        source=annotations,
        split=split,
        categories=categories,
        folder=folder,
        ids=pack_ids([image.id for image in images]),
        file_names=np.array(files, dtype=np.str_),
        sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2),
        **packed,
        skipped=problems.skipped,
        annotated="annotations" in raw,
    )
    return dataset, problems


def _load(path: Path, split: str) -> dict[str, Any]:
    try:
        # in UTF-8, UTF-16 or UTF-32, with or without a byte order mark
        raw: Any = json.loads(path.read_bytes(), object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        what = flaw(path) or f"is cut off or damaged at {where} ({error.msg}); copy or export it again"
        raise InputError(f"{path} {what}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read as JSON ({error}); check the path or export the file again."
        ) from error
    if isinstance(raw, list) and raw and isinstance(raw[0], dict) and raw[0].keys() & {"score", "detections"}:
        raise InputError(HOLDS_DETECTIONS.format(path))
    found: dict[str, Any] = raw if isinstance(raw, dict) else {}
    images_alone = split == "test" and "annotations" not in found
    keys = ("images", "categories") if images_alone else ("images", "annotations", "categories")
    bad = [key for key in keys if not _is_records(found.get(key))]
    if bad:
        what = "it is a list, which has" if isinstance(raw, list) else "it has"
        raise InputError(
            f"{path} is not a COCO annotation file: {what} no list of records named {' or '.join(bad)}; "
            f"give a JSON file with {', '.join(keys)}."
        )
    return found


def _without_namesakes(
    records: list[dict[str, Any]], annotations_of_file: list[dict[str, Any]], problems: Problems
) -> list[dict[str, Any]]:
    """Returns the records of categories without those that no object has and that group one of the same name.

    Roboflow writes a category with the id 0 and the supercategory "none" that groups all others. Where no class has its
    name it stays a class, because another split may have objects of it.
    """
    named = [record for record in records if isinstance(record.get("name"), str)]
    inside = {record["name"] for record in named if record["name"] == record.get("supercategory") != "none"}
    groups = [record for record in named if record.get("supercategory") == "none" and record["name"] in inside]
    if groups:  # only then are the annotations gone through
        used = {as_whole(annotation.get("category_id")) for annotation in annotations_of_file}
        groups = [record for record in groups if as_whole(record.get("id")) not in used]
        problems.add_all(NAMESAKE, [f"id {record.get('id')}: {record.get('name')}" for record in groups])
    return [record for record in records if record not in groups]


def _categories(records: list[dict[str, Any]], problems: Problems) -> tuple[Categories, Rows]:
    good: dict[int, str] = {}
    bad: Rows = {}
    id_of: dict[str, int] = {}
    for position, record in enumerate(records):
        id, name = as_whole(record.get("id")), record.get("name")
        if id is None or type(name) is not str or not name.strip() or printable(name) != name:
            what = f"id {record.get('id')!r}, name {name!r}"
            problems.add(BAD_CATEGORY, f"number {position + 1} of the list: {what}")
            bad |= {key: None for key in [as_id(record.get("id"))] if key is not None}
        elif id in good:
            problems.add(DUPLICATE_CATEGORY, f"id {id}: {good[id]} and {name}")
        else:
            other = id_of.setdefault(name.strip(), id)
            if other != id:
                problems.add(DUPLICATE_NAME, f"{name}: id {other} and id {id}")
            good[id] = name
    if not records:
        problems.add(NO_CATEGORIES, "categories: []")
    ids = sorted(good)
    labels: Rows = {**bad, **{id: label for label, id in enumerate(ids)}}
    return Categories(ids=tuple(ids), names=tuple(good[id] for id in ids)), labels


def _images(records: list[dict[str, Any]], problems: Problems) -> tuple[list[_Image], Rows]:
    good: list[_Image] = []
    rows: Rows = {}
    for position, record in enumerate(records):
        id, name = as_id(record.get("id")), record.get("file_name")
        height, width = as_length(record.get("height")), as_length(record.get("width"))
        if id is None or not is_file_name(name) or height is None or width is None:
            what = ", ".join(f"{key} {record.get(key)!r}" for key in ("id", "file_name", "width", "height"))
            problems.add(BAD_IMAGE, f"number {position + 1} of the list: {what}")
            if id is not None:
                rows.setdefault(id, None)
        elif good and type(id) is not type(good[0].id):
            problems.add(MIXED_IDS, f"{id!r} and {good[0].id!r}")
            rows.setdefault(id, None)
        elif (row := rows.get(id)) is not None:
            problems.add(DUPLICATE_IMAGE, f"id {id}: {good[row].file_name} and {name}")
        else:
            rows[id] = len(good)
            good.append(_Image(id, name, (height, width)))
    if not records:
        problems.add(NO_IMAGES, "images: []")
    return good, rows


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(record, dict) for record in value)


def _recognises(file: Path) -> bool:
    # Also by COCO's own file name: of a damaged file the reader can say more.
    if file.match("instances_*.json"):
        return True
    text = head(file)
    # A list of categories alone, as Label Studio writes it beside YOLO's labels, is none: it may only come first.
    keys = "images|annotations|categories" if len(text) == HEAD else "images|annotations"
    return text.startswith("{") and re.search(rf'"({keys})"\s*:\s*\[', text) is not None


def _find(path: Path) -> dict[str, Path]:
    """A file without annotations, such as those of COCO's test sets, is a test split."""
    if path.is_dir():
        return by_split(path, _files_in)
    return {"test" if _has_no_annotations(path) else "train": path}


def _has_no_annotations(file: Path) -> bool:
    return "annotations" not in head(file) and _recognises(file) and not _mentions(file, '"annotations"')


def _mentions(file: Path, text: str) -> bool:
    content = file.read_bytes()
    return any(text.encode(encoding) in content for encoding in ("utf-8", "utf-16-le", "utf-16-be"))


def _files_in(folder: Path) -> list[Path]:
    """The files with boxes: COCO keeps its captions and keypoints in the same folder.

    Of COCO's lists of images without annotations only that of test-dev counts, the part of the test images that
    COCO's server scores.
    """
    files = [file for file in files_with(folder, ".json") if file.is_file() and _recognises(file)]
    image_lists = [file for file in files if file.name.startswith("image_info_")]
    others = [file for file in files if file not in image_lists]
    annotated = [file for file in others if file.name.startswith("instances_")] or others
    if any(split_of(file.stem) == "test" for file in annotated):
        return annotated
    return [*annotated, *[file for file in image_lists if split_of(file.stem) == "test"][:1]]


def _scan(
    annotations: Path, *, split: str, box: BoxKind, sizes: Mapping[str, tuple[int, int]] | None
) -> tuple[DetectionDataset, Problems]:
    """`box` and `sizes` do not matter: an object has one box, and the record of an image holds its size."""
    return scan_coco(annotations, split)


COCO = Format(name="COCO JSON", protocol="coco", recognises=_recognises, find=_find, scan=_scan)
