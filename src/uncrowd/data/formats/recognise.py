"""The formats that can be read, and which of them a file has. The content decides, because names say little."""

from pathlib import Path

from uncrowd.data.formats.coco import COCO
from uncrowd.data.formats.crowdhuman import CROWDHUMAN
from uncrowd.data.formats.format import Format
from uncrowd.data.formats.passed_over import refuse_other_formats
from uncrowd.data.formats.voc import VOC
from uncrowd.data.formats.yolo import YOLO

# In the order in which they are tried. A new format is a module beside these and its value in this tuple.
FORMATS: tuple[Format, ...] = (COCO, CROWDHUMAN, YOLO, VOC)


def format_of(file: Path) -> Format:
    """Returns the format of an annotation file. Raises InputError for formats that are known but cannot be read.

    A file that no format recognises is taken for COCO JSON, whose reader says what is wrong with it.
    """
    refuse_other_formats(file, readable())
    return next((format for format in FORMATS if format.recognises(file)), COCO)


def readable() -> str:
    """Returns the names of the formats in words."""
    *names, last = (format.name for format in FORMATS)
    return f"{', '.join(names)} and {last}"
