"""Writes what `uncrowd predict` finds as JSON, a list with a record for each image."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uncrowd.data.results.appended import appended
from uncrowd.data.results.found import FoundImage, Write
from uncrowd.structures import Detections


@contextmanager
def writing_predictions(path: Path) -> Iterator[Write]:
    """Yields a function that appends an image to the list. The file is valid JSON after an interruption."""
    with appended(path, "[\n", ",\n", lambda some: "\n]\n" if some else "[]\n") as write:
        yield lambda image: write(json.dumps(_record(image)))


def records_of(found: Detections) -> list[dict[str, Any]]:
    """Returns a record for each detection; one with a track begins with the id of the track."""
    ids = found.categories.ids
    rows = zip(found.names, found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    records = [
        {
            "class": name,
            "category_id": ids[label],
            "score": round(score, 4),
            "box_xyxy": [round(value, 2) for value in box],
        }
        for name, label, score, box in rows
    ]
    if found.track_ids is None:
        return records
    return [{"track": id} | record for id, record in zip(found.track_ids.tolist(), records, strict=True)]


def _record(image: FoundImage) -> dict[str, Any]:
    record = {"image": str(image.file), "detections": records_of(image.detections)}
    return record | ({"annotated": str(image.name)} if image.annotated else {})
