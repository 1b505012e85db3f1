"""CrowdHuman's annotations (arXiv:1805.00123): odgt with a full, a visible and a head box of each person."""

from collections.abc import Mapping
from pathlib import Path
from reprlib import repr as short  # a value in the user's file may be of any type and length
from typing import Any, NamedTuple, get_args

import numpy as np

from uncrowd.data.dataset import DetectionDataset, PackedBoxes, pack_boxes, pack_ids
from uncrowd.data.formats.collector import collector_paused
from uncrowd.data.formats.files import by_split, files_with, head
from uncrowd.data.formats.foreign import HOLDS_DETECTIONS
from uncrowd.data.formats.format import BoxKind, Format
from uncrowd.data.formats.odgt import PERSON, NoObject, image_id, image_size, is_odgt, read_lines
from uncrowd.data.formats.records import Box, counts_in_scores, judge_box, xywh_to_box
from uncrowd.data.formats.sizes import known_sizes
from uncrowd.data.formats.values import as_truth
from uncrowd.data.images.find import find_images
from uncrowd.data.images.rules import IMAGES_NOT_FOUND
from uncrowd.data.problems import Problems, Rule
from uncrowd.errors import InputError

BAD_ID = Rule(
    kind="no image id",
    severity="error",
    message="lines without an ID that names an image",
    training="give each the name of its image without the suffix",
)
DUPLICATE_ID = Rule(
    kind="duplicate image id",
    severity="error",
    message="lines that share one ID",
    training="merge them, or give each its own image",
)
NO_LIST = Rule(
    kind="no list of boxes",
    severity="error",
    message="lines without a list of gtboxes",
    training="add one, empty where nothing is in the image",
)
NO_LINES = Rule(
    kind="no images",
    severity="error",
    message="no line at all",
    training="add one for each image, or copy the file again",
)
NO_SIZE = Rule(
    kind="no image size",
    severity="error",
    message="images whose size is not known",
    training="put the images where they can be read, or add width and height to their lines",
)
UNCLEAR_IGNORE = Rule(
    kind="unclear ignore",
    severity="error",
    message="boxes whose ignore is neither 0 nor 1",
    training="write 1 for a box to be ignored and 0 for a person",
)
NO_BOX = Rule(
    kind="no box",
    severity="warning",
    message="boxes that are not four numbers",
    training="training leaves them out",
    skips=True,
)


class _Line(NamedTuple):
    """What is kept of an image's line. The whole parsed JSON of 15,000 images would fill the memory."""

    number: int
    id: str
    size: tuple[int, int] | None
    boxes: list[tuple[Box, bool]]


def read_odgt(
    annotations: Path,
    split: str = "train",
    *,
    box: BoxKind = "fbox",
    images_needed: bool = True,
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> DetectionDataset:
    """Reads one odgt file into a dataset. Of the images at most the headers are read.

    images_needed: as in `read_coco`. The file of an image is named by the image's ID and a suffix.
    box: which of a person's boxes to read. sizes: ID -> (height, width), used for images whose line has no size and
    whose file cannot be read. The size from a file is the one after its EXIF orientation is applied.

    A box is an object if its tag is "person" and its extra.ignore is absent or 0; of a head box head_attr.ignore must
    be absent or 0 as well. All other boxes are ignored, as in CrowdHuman's evaluation. Boxes are not clipped to the
    image; `skipped` counts those that training leaves out.

    Raises InputError when the file is missing, damaged or not CrowdHuman's, when the images are not found, when a
    line has no ID or the ID of another line, or when an image's size is unknown.
    """
    dataset, problems = scan_odgt(annotations, split, box=box, sizes=sizes)
    problems.refuse_errors(annotations, except_for=() if images_needed else (IMAGES_NOT_FOUND,))
    return dataset


@collector_paused()
def scan_odgt(
    annotations: Path,
    split: str = "train",
    *,
    box: BoxKind = "fbox",
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> tuple[DetectionDataset, Problems]:
    """As `read_odgt`, but notes and leaves out bad lines instead of refusing the file.

    Of two lines with the same ID the first is kept. Raises InputError only where the file as a whole cannot be used:
    it is missing, or it holds detections.
    """
    problems = Problems()
    lines = _read(annotations, box, problems)
    ids = [line.id for line in lines]
    folder, files = find_images(annotations, ids, split, problems, suffixed=False)
    paths = None if IMAGES_NOT_FOUND in problems else [folder / file for file in files]
    found = known_sizes(ids, [line.size for line in lines], paths, sizes or {})
    good = [row for row, size in enumerate(found) if size is not None]
    for line, size in zip(lines, found, strict=True):
        if size is None:
            problems.add(NO_SIZE, f"line {line.number}: {line.id}")
    known = [size for size in found if size is not None]
    packed = _pack(box, [lines[row] for row in good], known, problems)
    dataset = DetectionDataset(
        source=annotations,
        split=split,
        categories=PERSON,
        folder=folder,
        ids=pack_ids([ids[row] for row in good]),
        file_names=np.array([files[row] for row in good], dtype=np.str_),
        sizes=np.array(known, dtype=np.int64).reshape(-1, 2),
        **packed,
        skipped=problems.skipped,
        annotated=True,
    )
    return dataset, problems


def _read(path: Path, kind: BoxKind, problems: Problems) -> list[_Line]:
    lines: dict[str, _Line] = {}
    number = 0
    for number, record in read_lines(path):
        where = f"line {number}"
        if isinstance(record, NoObject):
            problems.add(_no_object(record.mend), f"{where}{record.fault}")
            continue
        if "dtboxes" in record:  # CrowdDet's detections, beside which it repeats the ground truth in another form
            raise InputError(HOLDS_DETECTIONS.format(path))
        id, gtboxes = image_id(record), record.get("gtboxes")
        if id is None:
            problems.add(BAD_ID, f"{where}: {short(record.get('ID'))}")
        elif id in lines:
            problems.add(DUPLICATE_ID, f"lines {lines[id].number} and {number}: {id}")
        elif not isinstance(gtboxes, list):
            problems.add(NO_LIST, f"{where}: {id}")
        else:
            boxes = _boxes(gtboxes, kind, where, problems)
            lines[id] = _Line(number=number, id=id, size=image_size(record), boxes=boxes)
    if not number:
        problems.add(NO_LINES, "the file is empty")
    return list(lines.values())


def _boxes(gtboxes: list[Any], kind: BoxKind, where: str, problems: Problems) -> list[tuple[Box, bool]]:
    """Returns each box of a line and whether it is ignored."""
    good: list[tuple[Box, bool]] = []
    for position, record in enumerate(gtboxes):
        fields = record if isinstance(record, dict) else {}
        named = f"{where}, box {position + 1}"
        box = xywh_to_box(fields.get(kind))
        if box is None:
            problems.add(NO_BOX, f"{named}: {kind} {short(fields.get(kind))}")
            continue
        tag = fields.get("tag")
        if tag not in ("person", "mask"):
            problems.add(_unknown_tag(tag), named)
        attributes = ("extra", "head_attr") if kind == "hbox" else ("extra",)
        ignored = [_is_ignored(fields.get(name), named, problems) for name in attributes]
        good.append((box, tag != "person" or any(ignored)))
    return good


def _is_ignored(attributes: Any, named: str, problems: Problems) -> bool:
    value = attributes.get("ignore") if isinstance(attributes, dict) else None
    ignored = False if value is None else as_truth(value)
    if ignored is None:
        problems.add(UNCLEAR_IGNORE, f"{named}: ignore {short(value)}")
    return bool(ignored)


def _no_object(mend: str) -> Rule:
    """A rule of its own for each mend, since a file that is cut off needs another than one that is one list."""
    return Rule(kind="damaged line", severity="error", message="lines that are not JSON objects", training=mend)


def _unknown_tag(tag: Any) -> Rule:
    """A rule of its own for each tag, so that the report names all tags."""
    return Rule(
        kind="unknown tag",
        severity="warning",
        message=f"boxes tagged {short(tag)}, neither 'person' nor 'mask'",
        training="they are ignored: training does not learn them, scores do not count them",
    )


def _pack(kind: BoxKind, lines: list[_Line], sizes: list[tuple[int, int]], problems: Problems) -> PackedBoxes:
    """Returns the boxes that can be used as the columns that `pack_boxes` makes of them."""
    of_image: list[int] = []
    good: list[tuple[Box, int, bool, float]] = []
    for row, (line, size) in enumerate(zip(lines, sizes, strict=True)):
        for box, ignore in line.boxes:
            rule = judge_box(box, size)
            if rule is not None:
                x1, y1, x2, y2 = box
                shown = ", ".join(f"{number:g}" for number in (x1, y1, x2 - x1, y2 - y1))
                problems.add(rule, f"line {line.number}: {kind} [{shown}] of image {line.id}")
            if counts_in_scores(box):
                of_image.append(row)
                good.append((box, 0, ignore, (box[2] - box[0]) * (box[3] - box[1])))
    return pack_boxes(good, of_image, len(lines))


def _find(path: Path) -> dict[str, Path]:
    return by_split(path, _files_in) if path.is_dir() else {"train": path}


def _files_in(folder: Path) -> list[Path]:
    files = files_with(folder, ".odgt", ".json", ".jsonl", ".txt")
    return [file for file in files if file.is_file() and _holds_ground_truth(file)]


def _holds_ground_truth(file: Path) -> bool:
    # Also by CrowdHuman's own file name: of a damaged file the reader can say more.
    if file.match("annotation*.odgt"):
        return True
    text = head(file)
    return '"gtboxes"' in text and '"dtboxes"' not in text  # CrowdDet's detections have both


CROWDHUMAN = Format(
    name="CrowdHuman odgt",
    protocol="crowdhuman",
    boxes=get_args(BoxKind),
    recognises=is_odgt,
    find=_find,
    scan=scan_odgt,
)
