"""odgt, in which CrowdHuman keeps ground truth and detections: each line is a JSON object with the `ID` of an image.

https://www.crowdhuman.org/download.html
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from reprlib import repr as short
from typing import Any

from uncrowd.data.formats.files import head
from uncrowd.data.formats.records import is_id, is_length
from uncrowd.errors import InputError
from uncrowd.structures import Categories

# The only class of objects in odgt files. All their other boxes are ignored.
PERSON = Categories(ids=(1,), names=("person",))


def is_odgt(file: Path) -> bool:
    """Whether a file holds CrowdHuman's ground truth or detections. Raises InputError when it cannot be read."""
    return file.suffix == ".odgt" or re.search(r'"(gtboxes|dtboxes)"\s*:', head(file)) is not None


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yields the number of each line, from 1, and its JSON object, or as text the reason why it is not one.

    Skips empty lines. Holds one line in memory at a time. Raises InputError when the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _parse(line)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; check the path.") from error


def image_id(record: dict[str, Any]) -> str | None:
    """The record's `ID` as text; None where it is missing or cannot be the name of a file in the dataset."""
    id = record.get("ID")
    text = str(id) if is_id(id) else ""
    path = PurePosixPath(text)
    within = bool(text) and not path.is_absolute() and ".." not in path.parts
    return text if text.isprintable() and within else None


def image_size(record: dict[str, Any]) -> tuple[int, int] | None:
    """(height, width), or None where the record lacks them, as CrowdHuman's own ground truth does."""
    height, width = record.get("height"), record.get("width")
    return (int(height), int(width)) if is_length(height) and is_length(width) else None


def _parse(line: bytes) -> dict[str, Any] | str:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        return f"{error.msg}, column {error.colno}"
    except (ValueError, RecursionError) as error:  # not UTF-8, or numbers or nesting beyond Python's limits
        return str(error)
    return record if isinstance(record, dict) else short(record)
