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

from pycocotools import mask as pycocotools

from tests.data.coco_files import HEIGHT, WIDTH, annotation, content, image, write

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


Change = Callable[[dict[str, list[dict[str, Any]]]], None]


def each(records: str, key: str, written: Callable[[Any], Any]) -> Change:
    """A change of the contents of an annotation file: `key` of all images, annotations or categories."""

    def change(data: dict[str, list[dict[str, Any]]]) -> None:
        for record in data[records]:
            record[key] = written(record[key])

    return change


def outlined(outline: Callable[[list[float]], Any], bbox: list[float] | None) -> Change:
    """A change that puts an outline of each box into its annotation, and `bbox` in the place of the box."""

    def change(data: dict[str, list[dict[str, Any]]]) -> None:
        for record in data["annotations"]:
            record.update(segmentation=outline(record["bbox"]), bbox=bbox)

    return change


def polygon(box: list[float]) -> list[float]:
    """The corners [x, y, x, y, ...] of a box [x, y, width, height]."""
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def run_lengths(box: list[float]) -> dict[str, Any]:
    """The mask of a box of whole pixels, as run lengths down the columns of the image."""
    x, y, width, height = map(int, box)
    runs = [x * HEIGHT + y, height, *[HEIGHT - height, height] * (width - 1)]
    return {"size": [HEIGHT, WIDTH], "counts": [*runs, HEIGHT * WIDTH - sum(runs)]}


def compressed(box: list[float]) -> dict[str, Any]:
    """The same mask as COCO's text, encoded by pycocotools."""
    plain: Any = run_lengths(box)
    mask: Any = pycocotools.frPyObjects(plain, HEIGHT, WIDTH)
    return {"size": mask["size"], "counts": mask["counts"].decode()}


# How tools write the values of annotations; all of it has one meaning.
UNDERSTOOD: dict[str, Change] = {
    "iscrowd as text": each("annotations", "iscrowd", str),
    "iscrowd as true and false": each("annotations", "iscrowd", bool),
    "iscrowd as yes and no": each("annotations", "iscrowd", lambda crowd: "yes" if crowd else "no"),
    "iscrowd as a float": each("annotations", "iscrowd", float),
    "image_id as text": each("annotations", "image_id", str),
    "image_id as a float": each("annotations", "image_id", float),
    "category_id as text": each("annotations", "category_id", str),
    "class ids as text": each("categories", "id", str),
    "image ids as floats": each("images", "id", float),
    "sides as text": each("images", "width", str),
    "boxes as text": each("annotations", "bbox", lambda box: [str(side) for side in box]),
    "no area": each("annotations", "area", lambda _: None),
    "area as text": each("annotations", "area", str),
    "area -5": each("annotations", "area", lambda _: -5),
    "polygons alone": outlined(lambda box: [polygon(box)], None),
    "polygons as VIA has them": outlined(polygon, None),
    "polygons and empty boxes": outlined(lambda box: [polygon(box)], [0, 0, 0, 0]),
    "masks alone": outlined(run_lengths, None),
    "compressed masks alone": outlined(compressed, None),
}

# Values without one meaning -> the sentence that names the fault and the mend.
UNCLEAR: dict[str, tuple[Change, str]] = {
    "iscrowd 2": (
        each("annotations", "iscrowd", lambda _: 2),
        r"neither 0 nor 1 \(annotation 1 .*; write 1 for",
    ),
    "iscrowd maybe": (each("annotations", "iscrowd", lambda _: "maybe"), r"iscrowd 'maybe', .*; write 1 for a crowd"),
    "blank class names": (each("categories", "name", lambda _: " "), r"name ' ', .*; give each category both"),
    "one class name": (
        each("categories", "name", lambda _: "cat"),
        r"one name \(cat: id 7 and id 3\); rename one",
    ),
    "mixed image ids": (each("images", "id", lambda id: str(id) if id == 3 else id), r"'3' and 1\); use one type"),
    "image names as ids": (
        each("annotations", "image_id", name_of),
        r"image_id 'hall .*; write the id that its",
    ),
    "class names as ids": (
        each("annotations", "category_id", lambda _: "cat"),
        r"category_id 'cat', .*; write the id that its record has",
    ),
}
