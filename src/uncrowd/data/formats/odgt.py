"""odgt, in which CrowdHuman keeps ground truth and detections: each line is a JSON object with the `ID` of an image.

https://www.crowdhuman.org/download.html
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from reprlib import repr as short
from typing import Any, NamedTuple

from uncrowd.data.formats.files import head
from uncrowd.data.formats.foreign import flaw
from uncrowd.data.formats.values import as_id, as_length
from uncrowd.errors import InputError
from uncrowd.structures import Categories

# The only class of objects in odgt files. All their other boxes are ignored.
PERSON = Categories(ids=(1,), names=("person",))


CUT_OFF = "the file may be cut off, so copy it again"


class NoObject(NamedTuple):
    """Why a line is not a JSON object, as a sentence that begins with the line goes on, and what mends it."""

    fault: str
    mend: str


def is_odgt(file: Path) -> bool:
    """Whether a file holds CrowdHuman's ground truth or detections. Raises InputError when it cannot be read."""
    return file.suffix == ".odgt" or re.search(r'"(gtboxes|dtboxes)"\s*:', head(file)) is not None


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | NoObject]]:
    """Yields the number of each line, from 1, and its JSON object, or the reason why it is not one.

    Skips empty lines. Holds one line in memory at a time. Raises InputError when the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            _require_lines(path, file.peek(4))
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _parse(line)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; check the path.") from error


def image_id(record: dict[str, Any]) -> str | None:
    """The record's `ID` as text; None where it is missing or cannot be the name of a file in the dataset."""
    id = as_id(record.get("ID"))
    text = "" if id is None else str(id)
    path = PurePosixPath(text)
    within = bool(text) and not path.is_absolute() and ".." not in path.parts
    return text if "\0" not in text and within else None


def image_size(record: dict[str, Any]) -> tuple[int, int] | None:
    """(height, width), or None where the record lacks them, as CrowdHuman's own ground truth does."""
    height, width = as_length(record.get("height")), as_length(record.get("width"))
    return None if height is None or width is None else (height, width)


def _require_lines(path: Path, start: bytes) -> None:
    """Raises InputError when a file begins in a way in which no line can be read."""
    encoding = json.detect_encoding(start)
    if not encoding.startswith("utf-8"):
        raise InputError(f"{path} is in {encoding.upper()}; save it as UTF-8.")
    what = flaw(path) if start.strip() else None
    if what is not None:
        raise InputError(f"{path} {what}.")


def _parse(line: bytes) -> dict[str, Any] | NoObject:
    if line.lstrip().startswith(b"["):  # the whole file as one JSON array, whether or not it is on a line of its own
        return NoObject(" is a list", "write one object a line")
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        return NoObject(f": {error.msg}, column {error.colno}", CUT_OFF)
    except (ValueError, RecursionError) as error:  # not UTF-8, or numbers or nesting beyond Python's limits
        return NoObject(f": {error}", CUT_OFF)
    return record if isinstance(record, dict) else NoObject(f" is {short(record)}", "write one object a line")
