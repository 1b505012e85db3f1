"""The formats that can be read, and which of them a file has. The content decides, because names say little."""

from pathlib import Path

from uncrowd.data.formats.coco import COCO
from uncrowd.data.formats.crowdhuman import CROWDHUMAN
from uncrowd.data.formats.files import head
from uncrowd.data.formats.format import Format
from uncrowd.errors import InputError

# In the order in which they are tried. A new format is a module beside these and its value in this tuple.
FORMATS: tuple[Format, ...] = (COCO, CROWDHUMAN)


def format_of(file: Path) -> Format:
    """Returns the format of an annotation file. Raises InputError for formats that are known but cannot be read.

    A file that no format recognises is taken for COCO JSON, whose reader says what is wrong with it.
    """
    refuse_other_formats(file)
    return next((format for format in FORMATS if format.recognises(file)), COCO)


def refuse_other_formats(path: Path) -> None:
    """Raises InputError when `path`, a file or a folder, has annotations in a format that cannot be read."""
    files = [path] if path.is_file() else [f for s in ("xml", "yaml", "yml") for f in path.rglob(f"*.{s}")]
    for file in filter(Path.is_file, files):
        text = head(file)
        others = {
            "Pascal VOC's XML": "<annotation" in text and "<object" in text,
            "YOLO's YAML": file.suffix in (".yaml", ".yml") and "names:" in text,
        }
        for name, found in others.items():
            if found:
                readable = " and ".join(format.name for format in FORMATS)
                raise InputError(f"{file} looks like {name}, but only {readable} are read so far; convert it to one.")
