"""A clean dataset, and the same dataset as other tools and systems write it.

Each function changes a folder that `clean` wrote. What is read from it afterwards should be equal, or be refused in a
sentence that names the cause.
"""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.data.coco_files import annotation, content, image, write

IDS = range(1, 7)


def clean(folder: Path) -> Path:
    """Writes annotations.json with six images of two classes in images/; their names have a space and an accent."""
    images = [image(id, file_name=name_of(id)) for id in IDS]
    boxes = [annotation(id, id, (id, 2, 30, 20), category_id=3 if id % 2 else 7) for id in IDS]
    write(folder / "annotations.json", content(images, boxes), image_folder=folder / "images")
    return folder


def name_of(id: int) -> str:
    return unicodedata.normalize("NFC", f"hall léft {id}.png")


# A tool or system -> the file name that it writes for an image in images/.
WRITTEN: dict[str, Callable[[str], str]] = {
    "with its folder": lambda name: f"images/{name}",
    "with backslashes": lambda name: f"images\\{name}",
    "on Windows": lambda name: f"C:\\Users\\someone\\Desktop\\set\\{name}",
    "on another machine": lambda name: f"/home/someone/set/{name}",
    "in an upload": lambda name: f"upload/12/{name}",
    "Label Studio on Windows": lambda name: f"..\\..\\label-studio\\media\\upload\\4\\{name}",
    "Label Studio's local files": lambda name: f"/data/local-files/?d={quote(f'shop/{name}')}",
    "with an address": lambda name: f"https://example.org/images/{quote(name)}?size=1",
    "URL-encoded": lambda name: quote(f"images/{name}"),
    "encoded with backslashes": lambda name: quote(f"images\\{name}"),
    "without suffix": lambda name: name.removesuffix(".png"),
    "in capitals": str.upper,
    "folder in capitals": lambda name: f"IMAGES/{name}",
    "on macOS": lambda name: unicodedata.normalize("NFD", name),
}


def rename(folder: Path, written: Callable[[str], str]) -> None:
    """Writes the file names differently in the annotation file."""

    def change(data: dict[str, Any]) -> None:
        for record in data["images"]:
            record["file_name"] = written(record["file_name"])

    edit(folder / "annotations.json", change)


def edit(file: Path, change: Callable[[Any], None]) -> None:
    """Changes the contents of a JSON file."""
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))
