"""Reads and writes detections as CrowdHuman's odgt: for each image a line {"ID", "dtboxes": [{"box", "score", "tag"}]}.

CrowdDet and its successors write this format. It has only one class: tag 1, a person.
"""

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np

from uncrowd.boxes import xyxy_to_xywh
from uncrowd.data.formats.odgt import NoObject, image_id, image_size, read_lines
from uncrowd.data.formats.values import as_whole
from uncrowd.data.results.appended import appended
from uncrowd.data.results.columns import DetectionColumns
from uncrowd.data.results.found import Write
from uncrowd.data.results.matching import index_images
from uncrowd.errors import InputError
from uncrowd.structures import Categories, Detections, ImageId
from uncrowd.whole_file import whole_file


def write_odgt_results(
    path: Path, detections: Mapping[ImageId, Detections], sizes: Mapping[ImageId, tuple[int, int]]
) -> None:
    """Writes a line for each image with its size (height, width), which CrowdHuman's ground truth leaves out.

    Reading the file gives the same numbers to the last bit. It is written completely or not at all. Raises InputError
    for detections of several classes, and if the file cannot be written.
    """
    several = next((found.categories for found in detections.values() if len(found.categories) > 1), None)
    if several is not None:
        raise InputError(f"{path} cannot hold {len(several)} classes: odgt has only one; write COCO results (.json).")
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as file:
        for id, found in detections.items():
            file.write(_line(str(id), sizes[id], found))


@contextmanager
def writing_odgt(path: Path) -> Iterator[Write]:
    """Yields a function that appends the line of an image; all its detections become persons, odgt's only class."""
    with appended(path, "", "", lambda _: "") as write:
        yield lambda image: write(_line(image.below.with_suffix("").as_posix(), image.size, image.detections))


def _line(id: str, size: tuple[int, int], found: Detections) -> str:
    # In fp64 the side of a box with fp32 corners is exact, and so is the corner computed from it.
    boxes_xywh, scores = xyxy_to_xywh(found.boxes.double()).tolist(), found.scores.tolist()
    dtboxes = [{"box": box, "score": s, "tag": 1} for box, s in zip(boxes_xywh, scores, strict=True)]
    height, width = size
    return json.dumps({"ID": id, "height": height, "width": width, "dtboxes": dtboxes}, allow_nan=False) + "\n"


@dataclass(frozen=True, kw_only=True)
class OdgtResults:
    """The lines of a file, in its order, not yet assigned to the images of a dataset.

    lines: ID -> number of its line. counts: the number of detections on each line. sizes: ID -> (height, width), for
    lines that give it.
    """

    path: Path
    lines: dict[str, int] = field(default_factory=dict)
    counts: array = field(default_factory=lambda: array("q"))
    detections: DetectionColumns = field(default_factory=DetectionColumns)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def by_image(
        self, categories: Categories, ids: Iterable[ImageId], file_names: Iterable[str] = ()
    ) -> dict[ImageId, Detections]:
        """Returns the detections of each of the dataset's images `ids`, best first, in fp64; an image may have none.

        Equal scores keep the order of the file. An ID may be a number in the dataset; `index_images` says when one of
        the `file_names` may name an image. Raises InputError, naming the line, for images that the dataset does not
        have, and for a dataset of several classes.
        """
        if len(categories) > 1:
            raise InputError(
                f"{self.path} is odgt, which has one class, but the dataset has {len(categories)}; give a COCO "
                "results file."
            )
        ids = list(ids)
        index_of = index_images(self.lines, ids, list(file_names))
        unknown = next((id for id in self.lines if id not in index_of), None)
        if unknown is not None:
            raise InputError(
                f"{self.path}: line {self.lines[unknown]} has the ID {unknown}, which the dataset does not have: give "
                "the detections of this dataset and split."
            )
        images = np.array([index_of[id] for id in self.lines], dtype=np.int64)
        labels = np.zeros(len(self.detections), dtype=np.int64)
        return self.detections.by_image(ids, np.repeat(images, self.counts), labels, categories)

    def _where(self, n: int) -> str:
        """Names the line of detection `n` of the file, and the place on that line."""
        ends = np.cumsum(self.counts)
        line = int(np.searchsorted(ends, n, side="right"))
        return (
            f"{self.path}: line {list(self.lines.values())[line]}: detection {n - ends[line] + self.counts[line] + 1}"
        )


def read_odgt_results(path: Path) -> OdgtResults:
    """Reads an odgt file of detections.

    Raises InputError if the file is missing, and, naming the line, for lines that are cut off or do not hold
    detections, an image on two lines, tags other than 1, values that are not finite and negative sides.
    """
    results = OdgtResults(path=path)
    for number, id, record in _lines(path):
        where = f"{path}: line {number}"
        if id in results.lines:
            raise InputError(f"{where} has the ID {id}, which line {results.lines[id]} has too; merge them.")
        _take(record["dtboxes"], results.detections, where)
        results.lines[id] = number
        results.counts.append(len(record["dtboxes"]))
        size = image_size(record)
        if size is not None:
            results.sizes[id] = size
    results.detections.refuse_nonsense(results._where)
    return results


def _take(dtboxes: list[Any], columns: DetectionColumns, where: str) -> None:
    for position, found in enumerate(dtboxes):
        if not isinstance(found, dict) or "box" not in found or "score" not in found:
            raise InputError(f"{where}: detection {position + 1} lacks its box or score.")
        if as_whole(found.get("tag", 1)) != 1:
            raise InputError(
                f"{where}: detection {position + 1} has the tag {short(found['tag'])}, but CrowdHuman's only class, "
                "a person, is 1; leave the others out."
            )
        complaint = columns.add(found["box"], found["score"])
        if complaint is not None:
            raise InputError(f"{where}: detection {position + 1} has {complaint}.")


def _lines(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yields number, ID and object of each line; the object has a list of dtboxes."""
    for number, record in read_lines(path):
        where = f"{path}: line {number}"
        if isinstance(record, NoObject):
            raise InputError(f"{where}{record.fault}; {record.mend}.")
        if "gtboxes" in record and "dtboxes" not in record:
            raise InputError(f"{path} is ground truth (it has 'gtboxes'), not detections; give a results file.")
        id = image_id(record)
        if id is None:
            raise InputError(f"{where} has no ID that names an image; its ID is {short(record.get('ID'))}.")
        if not isinstance(record.get("dtboxes"), list):
            raise InputError(f"{where} has no list of dtboxes; give an empty one if nothing was found.")
        yield number, id, record
