"""Reads and writes detections as COCO results: a list of {"image_id", "category_id", "bbox", "score"}."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
from jaxtyping import Int64

from uncrowd.data.formats.values import as_known, as_whole
from uncrowd.data.results.columns import DetectionColumns
from uncrowd.data.results.matching import FoundId, index_images
from uncrowd.errors import InputError
from uncrowd.structures import Categories, Detections, ImageId
from uncrowd.whole_file import whole_file
from uncrowd.words import first

# What to do with detections that are not a results file of a dataset.
_MEND = "score the detector itself, or write its detections with `uncrowd eval WEIGHTS --data DATA --out FILE.json`"
KEYS = ("image_id", "category_id", "bbox", "score")


@dataclass(frozen=True, kw_only=True)
class CocoResults:
    """The records of a file, in its order, not yet assigned to the images of a dataset.

    sizes: always empty, because COCO results do not hold the sizes of images.
    """

    path: Path
    image_ids: list[FoundId] = field(default_factory=list)
    category_ids: list[int | float | str] = field(default_factory=list)
    detections: DetectionColumns = field(default_factory=DetectionColumns)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def by_image(
        self, categories: Categories, ids: Iterable[ImageId], file_names: Iterable[str] = ()
    ) -> dict[ImageId, Detections]:
        """Returns the detections of each of the dataset's images `ids`, best first, in fp64; an image may have none.

        Equal scores keep the order of the file. An id may be a number in the file and text in the dataset, or the other
        way round; `index_images` says when one of the `file_names` may name an image. Raises InputError, naming the
        record, for images and categories that the dataset does not have.
        """
        ids = list(ids)
        labels = _labels(self.path, self.category_ids, categories)
        images = _images(self.path, self.image_ids, ids, list(file_names))
        return self.detections.by_image(ids, images, labels, categories)

    def _take(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Keeps the record and returns None if it is a detection; returns any other dictionary unchanged."""
        if any(key not in record for key in KEYS):
            return record
        image_id, category_id = record["image_id"], record["category_id"]
        where = f"{self.path}: record {len(self.detections)}"
        # Types are compared, because isinstance(True, int) holds.
        if not {type(image_id), type(category_id)} <= {int, float, str}:
            raise InputError(f"{where} has an image_id or category_id that is neither a number nor text.")
        complaint = self.detections.add(record["bbox"], record["score"])
        if complaint is not None:
            raise InputError(f"{where} has {complaint}.")
        self.image_ids.append(image_id)
        self.category_ids.append(category_id)
        return None


def write_coco_results(path: Path, detections: Mapping[ImageId, Detections]) -> None:
    """Writes all detections with the dataset's ids, one record on each line.

    Reading the file gives the same numbers to the last bit. It is written completely or not at all. Raises InputError
    if it cannot be written.
    """
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as file:
        for n, record in enumerate(_records(detections)):
            file.write((",\n" if n else "[\n") + json.dumps(record, allow_nan=False))
        file.write("\n]\n" if any(map(len, detections.values())) else "[]\n")


def read_coco_results(path: Path) -> CocoResults:
    """Reads a COCO results file.

    Raises InputError if the file is missing, cut off or does not hold detections, and, naming the record, for values
    that are not finite and for negative sides.
    """
    results = CocoResults(path=path)
    try:
        content = json.loads(path.read_bytes(), object_hook=results._take)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # not UTF-8, too long numbers, too many brackets
        raise InputError(f"{path} is not a complete JSON file: {error}.") from error
    if results.detections and isinstance(content, dict) and "annotations" in content:
        raise InputError(f"{path} is a dataset with scores, as `uncrowd predict --format coco` writes it; {_MEND}.")
    if isinstance(content, list) and content and isinstance(content[0], dict) and "detections" in content[0]:
        raise InputError(f"{path} is what `uncrowd predict` found, without the ids of a dataset; {_MEND}.")
    if isinstance(content, dict) and "annotations" in content:
        raise InputError(
            f"{path} is a ground-truth file (it has 'annotations'), not a list of detections; give a results file."
        )
    if not isinstance(content, list):
        raise InputError(f"{path} is not a list of detections, each with {', '.join(KEYS)}.")
    for n, record in enumerate(content):
        if record is not None:
            missing = [key for key in KEYS if key not in record] if isinstance(record, dict) else KEYS
            raise InputError(f"{path}: record {n} is not a detection: it lacks {', '.join(missing)}.")
    if len(content) != len(results.detections):
        raise InputError(f"{path} has {len(content)} records, but they hold {len(results.detections)} detections.")
    results.detections.refuse_nonsense(lambda n: f"{path}: record {n}")
    return results


def _records(detections: Mapping[ImageId, Detections]) -> Iterator[dict[str, Any]]:
    for id, found in detections.items():
        # In fp64 the side of a box with fp32 corners is exact, and so is the corner computed from it.
        yield from replace(found, boxes=found.boxes.double()).to_coco(id)


def _labels(path: Path, category_ids: list[int | float | str], categories: Categories) -> Int64[np.ndarray, " n"]:
    label_of: dict[ImageId, int] = {id: label for label, id in enumerate(categories.ids)}
    known = {id: as_known(id, label_of) for id in set(category_ids)}
    unknown = sum(key is None for key in known.values())
    if unknown:
        n, id = next((n, id) for n, id in enumerate(category_ids) if known[id] is None)
        whole = as_whole(id) is not None
        what = f"one of {unknown} that the dataset does not have" if whole else "which is not a whole number"
        raise InputError(
            f"{path}: record {n} has the category_id {short(id)}, {what}; the dataset's ids are "
            f"{first(categories.ids, 10)}."
        )
    labels = {id: label_of[key] for id, key in known.items() if key is not None}
    return np.fromiter(map(labels.__getitem__, category_ids), dtype=np.int64, count=len(category_ids))


def _images(path: Path, image_ids: list[FoundId], ids: list[ImageId], file_names: list[str]) -> Int64[np.ndarray, " n"]:
    """Returns the index in `ids` of each record's image."""
    index_of = index_images(image_ids, ids, file_names)
    unknown = len(set(image_ids)) - len(index_of)
    if unknown:
        n = next(n for n, id in enumerate(image_ids) if id not in index_of)
        raise InputError(
            f"{path}: record {n} has the image_id {short(image_ids[n])}, one of {unknown} image(s) that the dataset "
            f"does not have; its ids are {first(map(short, ids), 5)}: give the detections of this dataset and split."
        )
    return np.fromiter(map(index_of.__getitem__, image_ids), dtype=np.int64, count=len(image_ids))
