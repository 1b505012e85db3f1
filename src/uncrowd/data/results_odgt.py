"""Detections in and out as CrowdHuman's odgt: one picture a line, {"ID", "dtboxes": [{"box", "score", "tag"}]}.

It is what CrowdDet and its successors write. It knows one class alone: tag 1, a person.
"""

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np

from uncrowd.boxes import xyxy_to_xywh
from uncrowd.data.detection_columns import DetectionColumns
from uncrowd.data.odgt import picture_id, picture_size, read_lines
from uncrowd.errors import InputError
from uncrowd.structures import Categories, Detections, PictureId
from uncrowd.whole_file import whole_file


def write_odgt_results(
    path: Path, detections: Mapping[PictureId, Detections], sizes: Mapping[PictureId, tuple[int, int]]
) -> None:
    """Writes a line for each picture; `sizes` are their (height, width), which CrowdHuman's ground truth leaves out.

    Reading it again gives the same numbers to the last bit. Raises InputError for detections of several classes, and
    when the file cannot be written, which is there whole or not at all.
    """
    several = next((found.categories for found in detections.values() if len(found.categories) > 1), None)
    if several is not None:
        raise InputError(f"{path} cannot hold {len(several)} classes, odgt knows one; write COCO results (.json).")
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as file:
        for id, found in detections.items():
            # In fp64, where a side of a box with fp32 corners, and the corner from that side, are exact.
            boxes_xywh, scores = xyxy_to_xywh(found.boxes.double()).tolist(), found.scores.tolist()
            dtboxes = [{"box": box, "score": s, "tag": 1} for box, s in zip(boxes_xywh, scores, strict=True)]
            height, width = sizes[id]
            record = {"ID": str(id), "height": height, "width": width, "dtboxes": dtboxes}
            file.write(json.dumps(record, allow_nan=False) + "\n")


def read_odgt_results(path: Path, categories: Categories, ids: Iterable[PictureId]) -> dict[PictureId, Detections]:
    """The detections of each of the data set's pictures `ids`, best first, in fp64; empty where the file has none.

    Equal scores stay in the order of the file. An ID may be a number in the data set. Raises InputError, naming the
    line, for a file that is missing, cut off or something else than detections, for pictures the data set does not have
    and pictures on two lines, for other tags than 1, for values that are not finite or sides that are negative, and for
    a data set of several classes.
    """
    if len(categories) > 1:
        raise InputError(
            f"{path} is odgt, which knows one class, but the data set has {len(categories)}; give a COCO results file."
        )
    ids = list(ids)
    index_of = {str(id): index for index, id in enumerate(ids)}
    columns = DetectionColumns()
    seen: dict[str, int] = {}
    pictures, counts, numbers = array("q"), array("q"), array("q")
    for number, id, record in _lines(path):
        where = f"{path}: line {number}"
        if id in seen:
            raise InputError(f"{where} has the ID {id}, which line {seen[id]} has too; merge them.")
        if id not in index_of:
            raise InputError(
                f"{where} has the ID {id}, which the data set does not have: give the detections of this data set and "
                "split."
            )
        seen[id] = number
        _take(record["dtboxes"], columns, where)
        pictures.append(index_of[id])
        counts.append(len(record["dtboxes"]))
        numbers.append(number)

    def where_is(n: int) -> str:
        line = int(np.searchsorted(np.cumsum(counts), n, side="right"))
        return f"{path}: line {numbers[line]}: detection {n - sum(counts[:line]) + 1}"

    columns.refuse_nonsense(where_is)
    labels = np.zeros(len(columns), dtype=np.int64)
    of_picture = np.repeat(np.array(pictures, dtype=np.int64), np.array(counts, dtype=np.int64))
    return columns.by_picture(ids, of_picture, labels, categories)


def read_odgt_sizes(path: Path) -> dict[str, tuple[int, int]]:
    """The (height, width) of each picture, by ID, as far as the lines say it.

    Raises InputError as `read_odgt_results` does for a file that is missing or no odgt.
    """
    sizes = {id: picture_size(record) for _, id, record in _lines(path)}
    return {id: size for id, size in sizes.items() if size is not None}


def _take(dtboxes: list[Any], columns: DetectionColumns, where: str) -> None:
    for position, found in enumerate(dtboxes):
        if not isinstance(found, dict) or "box" not in found or "score" not in found:
            raise InputError(f"{where}: detection {position + 1} lacks its box or score.")
        if found.get("tag", 1) != 1:
            raise InputError(
                f"{where}: detection {position + 1} has the tag {short(found['tag'])}, but CrowdHuman's only class, "
                "a person, is 1; leave the others out."
            )
        complaint = columns.add(found["box"], found["score"])
        if complaint is not None:
            raise InputError(f"{where}: detection {position + 1} has {complaint}.")


def _lines(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Number, ID and object of each line, which has a list of dtboxes."""
    for number, record in read_lines(path):
        where = f"{path}: line {number}"
        if isinstance(record, str):
            raise InputError(f"{where} is no JSON object ({record}); the file may be cut off, so write it again.")
        if "gtboxes" in record and "dtboxes" not in record:
            raise InputError(f"{path} is ground truth ('gtboxes' in it), not detections: give the results file.")
        id = picture_id(record)
        if id is None:
            raise InputError(f"{where} has no ID that names a picture, but {short(record.get('ID'))}.")
        if not isinstance(record.get("dtboxes"), list):
            raise InputError(f"{where} has no list of dtboxes; write an empty one where nothing was found.")
        yield number, id, record
