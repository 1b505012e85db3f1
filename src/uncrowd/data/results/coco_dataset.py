"""Writes detections as a COCO dataset, which annotation tools import as a first draft of the annotations.

Unlike COCO results it names images, their sizes and the classes. Its annotations have an empty `segmentation`, without
which CVAT refuses them and with which it takes their boxes, and a score, which its importer keeps as an attribute.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from uncrowd.boxes import xyxy_to_xywh
from uncrowd.data.results.appended import appended
from uncrowd.data.results.found import FoundImage, Write
from uncrowd.structures import Categories


@contextmanager
def writing_coco_dataset(path: Path, categories: Categories) -> Iterator[Write]:
    """Yields a function that appends an image. After an interruption the file holds the images before it."""
    images: list[dict[str, Any]] = []
    ids = count(1)

    def rest() -> str:
        classes = [{"id": id, "name": name} for id, name in zip(categories.ids, categories.names, strict=True)]
        return f'"images": {json.dumps(images)},\n"categories": {json.dumps(classes)}\n}}\n'

    def end(some: bool) -> str:
        return f"\n],\n{rest()}" if some else '{"annotations": [],\n' + rest()

    def add(image: FoundImage) -> None:
        height, width = image.size
        images.append({"id": len(images) + 1, "file_name": image.below.as_posix(), "height": height, "width": width})
        annotations = [json.dumps({"id": next(ids), **annotation}) for annotation in _of(image, len(images))]
        if annotations:
            write(",\n".join(annotations))

    # Annotations come first, because they are written before all images are known.
    with appended(path, '{"annotations": [\n', ",\n", end) as write:
        yield add


def _of(image: FoundImage, image_id: int) -> Iterator[dict[str, Any]]:
    found = image.detections
    boxes = xyxy_to_xywh(found.boxes.double()).tolist()
    for box, score, label in zip(boxes, found.scores.tolist(), found.labels.tolist(), strict=True):
        yield {
            "image_id": image_id,
            "category_id": found.categories.ids[label],
            "bbox": box,
            "area": box[2] * box[3],
            "segmentation": [],
            "iscrowd": 0,
            "score": score,
        }
