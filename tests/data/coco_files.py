"""Small COCO datasets on disk, for the tests of this folder to spoil."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 48, 64


def image(id: Any, **changes: Any) -> dict[str, Any]:
    return {"id": id, "file_name": f"{id}.png", "width": WIDTH, "height": HEIGHT} | changes


def annotation(id: int, image_id: Any, bbox: Any = (1, 2, 30, 20), category_id: Any = 3, **more: Any) -> dict[str, Any]:
    bbox = list(bbox) if isinstance(bbox, tuple) else bbox
    return {"id": id, "image_id": image_id, "category_id": category_id, "bbox": bbox, "iscrowd": 0} | more


def content(
    images: list[Any] | None = None, annotations: list[Any] | None = None, categories: list[Any] | None = None
) -> dict[str, list[Any]]:
    """Two images with a box each, of two classes whose ids have a gap and come in no order; parts replaceable."""
    return {
        "images": [image(1), image(2)] if images is None else images,
        "annotations": [annotation(1, 1), annotation(2, 2, category_id=7)] if annotations is None else annotations,
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}] if categories is None else categories,
    }


def write(file: Path, data: Any = None, image_folder: Path | None = None) -> Path:
    """The annotation file, and next to it or in `images` an image of its own for each record."""
    data = content() if data is None else data
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data))
    folder = file.parent if image_folder is None else image_folder
    folder.mkdir(parents=True, exist_ok=True)
    for record in data["images"]:
        draw(folder / record["file_name"])
    return file


def draw(path: Path, orientation: int | None = None) -> Path:
    """Noise that depends on the path, so that no two images have the same content."""
    noise = np.random.default_rng([*str(path).encode()]).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(noise).save(path, exif=exif)
    return path
