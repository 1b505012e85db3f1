"""Tiny folders like those that the notebooks on blood cells and nuclei read, with discs for cells."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

KINDS = {"RBC": ((190, 80, 80), 16), "WBC": ((110, 70, 160), 22), "Platelets": ((90, 90, 190), 8)}
SIDE = 64


def write_blood_cells(folder: Path) -> Path:
    """A COCO folder of 8 images to train on and 4 to score on, each with two or three cells of each kind."""
    rng = np.random.default_rng(0)
    for split, count in {"train": 8, "val": 4}.items():
        (folder / split).mkdir(parents=True)
        images, annotations = [], []
        for number in range(1, count + 1):
            image = Image.new("RGB", (SIDE, SIDE), (235, 220, 215))
            for label, (colour, side) in enumerate(KINDS.values(), start=1):
                for box in _discs(rng, int(rng.integers(2, 4)), side):
                    ImageDraw.Draw(image).ellipse(box, colour)
                    x1, y1, x2, y2 = box
                    place = {"bbox": [x1, y1, x2 - x1, y2 - y1], "category_id": label, "image_id": number}
                    annotations.append(place | {"id": len(annotations) + 1, "iscrowd": 0})
            image.save(folder / split / f"{number}.png")
            images.append({"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE})
        categories = [{"id": label, "name": name} for label, name in enumerate(KINDS, start=1)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"instances_{split}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_nuclei(folder: Path) -> Path:
    """`stage1_train` with 10 images, and a mask for each of their 2 to 6 nuclei; one mask is empty."""
    rng = np.random.default_rng(0)
    for number in range(10):
        place = folder / "stage1_train" / f"image-{number}"
        (place / "images").mkdir(parents=True)
        (place / "masks").mkdir()
        image = Image.new("RGB", (SIDE, SIDE), "black")
        for nucleus, box in enumerate(_discs(rng, int(rng.integers(2, 7)), 12)):
            mask = Image.new("L", image.size)
            ImageDraw.Draw(mask).ellipse(box, 255)
            mask.save(place / "masks" / f"{nucleus}.png")
            image.paste((200, 200, 200), mask=mask)
        image.save(place / "images" / "image.png")
    Image.new("L", (SIDE, SIDE)).save(folder / "stage1_train" / "image-0" / "masks" / "empty.png")
    return folder


def _discs(rng: np.random.Generator, count: int, side: int) -> Iterator[tuple[int, int, int, int]]:
    """Yields the corners of discs of about this side."""
    for _ in range(count):
        x, y = rng.integers(0, SIDE - side, 2).tolist()
        yield x, y, x + side - 1, y + side - 1
