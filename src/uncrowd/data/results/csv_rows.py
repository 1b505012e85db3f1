"""Writes CSV: a row for each image with its counts, or a row for each detection."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from uncrowd.data.results.appended import appended
from uncrowd.data.results.found import FoundImage, Write

DETECTION = ("image", "class", "category_id", "score", "x1", "y1", "x2", "y2")


@contextmanager
def writing_counts(path: Path, classes: Sequence[str]) -> Iterator[Write]:
    """Yields a function that appends an image: its file, then its count of each class."""
    with writing_rows(path, ["image", *classes]) as write:
        yield lambda image: write([[str(image.file), *(image.counts[name] for name in classes)]])


@contextmanager
def writing_csv(path: Path) -> Iterator[Write]:
    """Yields a function that appends a row for each detection of an image; boxes are in its pixels."""
    with writing_rows(path, DETECTION) as write:
        yield lambda image: write(_rows(image))


def _rows(image: FoundImage) -> Iterator[Sequence[object]]:
    found = image.detections
    for name, label, score, box in zip(
        found.names, found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True
    ):
        corners = (f"{value:.2f}" for value in box)
        yield str(image.file), name, found.categories.ids[label], f"{score:.4f}", *corners


@contextmanager
def writing_rows(path: Path, header: Sequence[str]) -> Iterator[Callable[[Iterable[Sequence[object]]], None]]:
    """Yields a function that appends rows below the header."""
    head = _text([header])
    with appended(path, head, "", lambda some: "" if some else head) as write:
        yield lambda rows: write(_text(rows))


def _text(rows: Iterable[Sequence[object]]) -> str:
    with io.StringIO() as text:
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()
