"""The annotations of a COCO file: which of them become boxes, and how their values are understood."""

import math
from collections.abc import Container
from reprlib import repr as short  # a value in the user's file may be of any type and length
from typing import Any

from uncrowd.data.dataset import PackedBoxes, pack_boxes
from uncrowd.data.formats.coco_outline import as_outline, outline_box
from uncrowd.data.formats.records import Box, counts_in_scores, judge_box, xywh_to_box
from uncrowd.data.formats.values import as_float, as_known, as_truth, is_number
from uncrowd.data.packed_outlines import Packing
from uncrowd.data.problems import Problems, Rule
from uncrowd.structures import ImageId

UNKNOWN_IMAGE = Rule(
    kind="unknown image id",
    severity="error",
    message="annotations of an image_id that `images` does not list",
    training="add the image's record or remove the annotations",
)
UNKNOWN_CATEGORY = Rule(
    kind="unknown class id",
    severity="error",
    message="annotations of a category_id that `categories` does not list",
    training="add the category or remove the annotations",
)
NAME_FOR_ID = Rule(
    kind="name for an id",
    severity="error",
    message="annotations whose image_id is a file name, or whose category_id is the name of a class",
    training="write the id that its record has",
)
OTHER_TYPE = Rule(
    kind="id of another type",
    severity="note",
    message="annotations with an id as text where the list it refers to has a number, or a number where it has text",
    training="training takes them for the same id; write both alike for other tools",
)
UNCLEAR_CROWD = Rule(
    kind="unclear iscrowd",
    severity="error",
    message="annotations whose iscrowd is neither 0 nor 1",
    training="write 1 for a crowd and 0 for an object",
)
IGNORE_KEY = Rule(
    kind="ignore key",
    severity="note",
    message="annotations marked with `ignore`, which COCO does not know",
    training="training learns them and scores count them, as pycocotools does; set iscrowd to 1 to have them ignored",
)
NO_BOX = Rule(
    kind="no box",
    severity="warning",
    message="annotations whose bbox is not four numbers",
    training="training leaves them out",
    skips=True,
)
BOX_OF_OUTLINE = Rule(
    kind="box of an outline",
    severity="note",
    message="annotations with a segmentation but no bbox, or one without width and height",
    training="the box that bounds the segmentation is used",
)
BAD_AREA = Rule(
    kind="no area",
    severity="warning",
    message="annotations whose area is not a positive number",
    training="scores use the area of the box",
)

# The id in the file -> the row of that image, or the label of that category. None where the record of the id is bad:
# annotations that refer to it are left out without being reported as a second mistake.
Rows = dict[ImageId, int | None]


def pack_annotations(
    records: list[dict[str, Any]],
    sizes: list[tuple[int, int]],
    rows: Rows,
    labels: Rows,
    names: Container[str],
    problems: Problems,
) -> PackedBoxes:
    """Returns the boxes that can be used as the columns that `pack_boxes` makes of them.

    sizes: (height, width) of each image. rows, labels: index of each image in `sizes`, and label of each category.
    names: those of image files and classes, which some programs write in the place of ids.
    """
    of_image: list[int] = []
    good: list[tuple[Box, int, bool, float]] = []
    outlines = Packing()
    for record in records:
        name = f"annotation {record.get('id')} of image {record.get('image_id')}"
        image_id = as_known(record.get("image_id"), rows)
        category_id = as_known(record.get("category_id"), labels)
        if image_id is None:
            rule = NAME_FOR_ID if _is_in(names, record.get("image_id")) else UNKNOWN_IMAGE
            problems.add(rule, f"annotation {record.get('id')}: image_id {short(record.get('image_id'))}")
        elif category_id is None:
            rule = NAME_FOR_ID if _is_in(names, record.get("category_id")) else UNKNOWN_CATEGORY
            problems.add(rule, f"{name}: category_id {short(record.get('category_id'))}")
        elif (row := rows[image_id]) is not None and (label := labels[category_id]) is not None:
            for key, id in (("image_id", image_id), ("category_id", category_id)):
                if record[key] != id:
                    problems.add(OTHER_TYPE, f"{name}: {key} {record[key]!r}")
            box = _box(record, name, sizes[row], problems)
            crowd = _is_crowd(record, name, problems)
            if box is not None and counts_in_scores(box):
                of_image.append(row)
                good.append((box, label, crowd, _area(record, name, box, problems)))
                outlines.add(as_outline(record.get("segmentation"), sizes[row]))
    return pack_boxes(good, of_image, len(sizes), outlines.packed())


def _is_in(names: Container[str], value: Any) -> bool:
    return isinstance(value, str) and value in names


def _box(record: dict[str, Any], name: str, size: tuple[int, int], problems: Problems) -> Box | None:
    """The bbox, or the box around the segmentation where there is none or only a place for one, as [0, 0, 0, 0]."""
    box = xywh_to_box(record.get("bbox"))
    if box is None or box[:2] == box[2:]:
        bounds = outline_box(record.get("segmentation"), size)
        if bounds is not None:
            problems.add(BOX_OF_OUTLINE, name)
            box = bounds
    rule = NO_BOX if box is None else judge_box(box, size)
    if rule is not None:
        problems.add(rule, f"{name}: bbox {record.get('bbox')}")
    return box


def _is_crowd(record: dict[str, Any], name: str, problems: Problems) -> bool:
    iscrowd, ignore = record.get("iscrowd"), record.get("ignore")
    crowd = False if iscrowd is None else as_truth(iscrowd)
    if crowd is None:
        problems.add(UNCLEAR_CROWD, f"{name}: iscrowd {short(iscrowd)}")
    if not crowd and ignore is not None and as_truth(ignore) is not False:
        problems.add(IGNORE_KEY, f"{name}: ignore {short(ignore)}")
    return bool(crowd)


def _area(record: dict[str, Any], name: str, box: Box, problems: Problems) -> float:
    """The area in the file (in COCO that of the object's mask) if it is a positive number, else the area of the box."""
    area, of_box = record.get("area"), (box[2] - box[0]) * (box[3] - box[1])
    number = as_float(area) if is_number(area) else math.nan
    if math.isfinite(number) and number > 0:
        return number
    if area is not None and number != of_box:
        problems.add(BAD_AREA, f"{name}: area {short(area)}")
    return of_box
