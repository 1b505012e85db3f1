"""Detections in and out as a COCO results file: a list of {"image_id", "category_id", "bbox", "score"}."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from uncrowd.data.results.columns import DetectionColumns
from uncrowd.errors import InputError
from uncrowd.structures import Categories, Detections, ImageId
from uncrowd.whole_file import whole_file
from uncrowd.words import first

KEYS = ("image_id", "category_id", "bbox", "score")


@dataclass(frozen=True, kw_only=True)
class CocoResults:
    """The records of a file, in its order, before it is known which dataset they are of.

    sizes: none, for COCO's results do not say how large the images are.
    """

    path: Path
    image_ids: list[int | float | str] = field(default_factory=list)
    category_ids: list[int | float] = field(default_factory=list)
    detections: DetectionColumns = field(default_factory=DetectionColumns)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def by_image(self, categories: Categories, ids: Iterable[ImageId]) -> dict[ImageId, Detections]:
        """The detections of each of the dataset's images `ids`, best first, in fp64; empty where there are none.

        Equal scores stay in the order of the file. An image's id may be a number in the file and text in the dataset
        or the other way round. Raises InputError, naming the record, for images and categories the dataset does not
        have.
        """
        ids = list(ids)
        labels = _labels(self.path, self.category_ids, categories)
        return self.detections.by_image(ids, _images(self.path, self.image_ids, ids), labels, categories)

    def _take(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Keeps a detection and returns None; any other dictionary is returned as it is."""
        if any(key not in record for key in KEYS):
            return record
        image_id, category_id = record["image_id"], record["category_id"]
        where = f"{self.path}: record {len(self.detections)}"
        # by type, for to Python true is a number
        if type(image_id) not in (int, float, str) or type(category_id) not in (int, float):
            raise InputError(f"{where} has an image_id or category_id that is neither a number nor text.")
        complaint = self.detections.add(record["bbox"], record["score"])
        if complaint is not None:
            raise InputError(f"{where} has {complaint}.")
        self.image_ids.append(image_id)
        self.category_ids.append(category_id)
        return None


def write_coco_results(path: Path, detections: Mapping[ImageId, Detections]) -> None:
    """Writes all detections, with the dataset's own ids, one record a line.

    Reading it again gives the same numbers to the last bit. Raises InputError when the file cannot be written, which is
    there whole or not at all.
    """
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as file:
        for n, record in enumerate(_records(detections)):
            file.write((",\n" if n else "[\n") + json.dumps(record, allow_nan=False))
        file.write("\n]\n" if any(map(len, detections.values())) else "[]\n")


def read_coco_results(path: Path) -> CocoResults:
    """What a COCO results file holds.

    Raises InputError, naming the record, for a file that is missing, cut off or something else than detections, and for
    values that are not finite or sides that are negative.
    """
    results = CocoResults(path=path)
    try:
        content = json.loads(path.read_bytes(), object_hook=results._take)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # no UTF-8, endless numbers, endless brackets
        raise InputError(f"{path} is no complete JSON file: {error}.") from error
    if isinstance(content, dict) and "annotations" in content:
        raise InputError(
            f"{path} is a ground-truth file ('annotations' in it), not a list of detections: give the results file."
        )
    if not isinstance(content, list):
        raise InputError(f"{path} is not a list of detections, each with {', '.join(KEYS)}.")
    for n, record in enumerate(content):
        if record is not None:
            missing = [key for key in KEYS if key not in record] if isinstance(record, dict) else KEYS
            raise InputError(f"{path}: record {n} is no detection, it lacks {', '.join(missing)}.")
    if len(content) != len(results.detections):
        raise InputError(f"{path} has {len(content)} records but {len(results.detections)} detections in them.")
    results.detections.refuse_nonsense(lambda n: f"{path}: record {n}")
    return results


def _records(detections: Mapping[ImageId, Detections]) -> Iterator[dict[str, Any]]:
    for id, found in detections.items():
        # In fp64, where a side of a box with fp32 corners, and the corner from that side, are exact.
        yield from replace(found, boxes=found.boxes.double()).to_coco(id)


def _labels(path: Path, category_ids: list[int | float], categories: Categories) -> Int64[np.ndarray, " n"]:
    label_of: dict[int | float, int] = {id: label for label, id in enumerate(categories.ids)}
    unknown = sorted(set(category_ids) - label_of.keys())
    if unknown:
        raise InputError(
            f"{path}: record {category_ids.index(unknown[0])} has the category_id {unknown[0]}, one of {len(unknown)} "
            f"that the dataset does not have: its ids are {first(categories.ids, 10)}."
        )
    return np.fromiter(map(label_of.__getitem__, category_ids), dtype=np.int64, count=len(category_ids))


def _images(path: Path, image_ids: list[int | float | str], ids: list[ImageId]) -> Int64[np.ndarray, " n"]:
    """The position in `ids` of each record's image."""
    position: dict[int | float | str, int] = {str(id): n for n, id in enumerate(ids)}
    position.update({id: n for n, id in enumerate(ids)})
    found = {id: position.get(id, position.get(str(id), -1)) for id in set(image_ids)}
    unknown = sum(n < 0 for n in found.values())
    if unknown:
        n = next(n for n, id in enumerate(image_ids) if found[id] < 0)
        raise InputError(
            f"{path}: record {n} has the image_id {image_ids[n]!r}, one of {unknown} image(s) that the dataset does "
            "not have: give the detections of this dataset and split."
        )
    return np.fromiter(map(found.__getitem__, image_ids), dtype=np.int64, count=len(image_ids))
