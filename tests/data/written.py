"""One dataset, made in memory, as files in each format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

NAMES = ("ant", "bee", "cat")
SPLITS = ("train", "val")


class Made(NamedTuple):
    """An image. boxes: xyxy, in the image. labels: indices into `NAMES`."""

    name: str
    split: str
    size: tuple[int, int]
    boxes: np.ndarray
    labels: np.ndarray


def make(seed: int, images: int = 6, *, whole: bool = False) -> list[Made]:
    """Images of sizes of their own with 0 to 4 objects; the first of each split has one of each class.

    whole: the corners are whole numbers of pixels.
    """
    rng = np.random.default_rng(seed)
    made = []
    for number in range(images):
        size = (int(rng.integers(20, 60)), int(rng.integers(20, 60)))
        count = len(NAMES) if number < len(SPLITS) else int(rng.integers(5))
        corners = rng.uniform(0, 0.6, (count, 2))
        shares = np.concatenate([corners, corners + rng.uniform(0.1, 0.4, (count, 2))], axis=1)
        boxes = shares * [size[1], size[0], size[1], size[0]]
        labels = np.arange(count) if number < len(SPLITS) else rng.integers(len(NAMES), size=count)
        split = SPLITS[number % len(SPLITS)]
        made.append(Made(f"{split}_{number:03}", split, size, boxes.round() if whole else boxes, labels))
    return made


def write_coco(folder: Path, made: list[Made]) -> Path:
    """COCO's layout: annotations/instances_train.json, train/."""
    for split in SPLITS:
        images, annotations = [], []
        for number, image in enumerate(_draw(made, split, folder / split)):
            height, width = image.size
            images.append({"id": number, "file_name": f"{image.name}.png", "width": width, "height": height})
            for (x1, y1, x2, y2), label in zip(image.boxes.tolist(), image.labels.tolist(), strict=True):
                box = {"image_id": number, "category_id": label + 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0}
                annotations.append({"id": len(annotations) + 1, **box})
        categories = [{"id": label + 1, "name": name} for label, name in enumerate(NAMES)]
        _write(
            folder / f"annotations/instances_{split}.json",
            json.dumps({"images": images, "annotations": annotations, "categories": categories}),
        )
    return folder


def write_yolo(folder: Path, made: list[Made], yaml: str | None = None) -> Path:
    """Ultralytics' layout: data.yaml, images/train/, labels/train/."""
    yaml = "train: images/train\nval: images/val\nnames: [ant, bee, cat]\n" if yaml is None else yaml
    _write(folder / "data.yaml", yaml)
    for split in SPLITS:
        for image in _draw(made, split, folder / "images" / split):
            lines = yolo_lines(image)
            if lines:
                _write(folder / f"labels/{split}/{image.name}.txt", "".join(lines))
    return folder


def yolo_lines(image: Made) -> list[str]:
    height, width = image.size
    shares = image.boxes / [width, height, width, height]
    centres, sides = (shares[:, :2] + shares[:, 2:]) / 2, shares[:, 2:] - shares[:, :2]
    return [
        f"{label} {' '.join(map(repr, row))}\n"
        for label, row in zip(image.labels.tolist(), np.concatenate([centres, sides], axis=1).tolist(), strict=True)
    ]


def write_voc(folder: Path, made: list[Made]) -> Path:
    """The devkit's layout: JPEGImages/, Annotations/, ImageSets/Main/train.txt."""
    for split in SPLITS:
        images = _draw(made, split, folder / "JPEGImages")
        _write(folder / f"ImageSets/Main/{split}.txt", "".join(f"{image.name}\n" for image in images))
        for image in images:
            _write(folder / f"Annotations/{image.name}.xml", voc_xml(image))
    return folder


def voc_xml(image: Made, difficult: Callable[[int], int] = lambda position: 0) -> str:
    """Counted from 1 and with the last pixel; corners between pixels stay what they are."""
    height, width = image.size
    objects = [
        f"<object><name>{NAMES[label]}</name><difficult>{difficult(position)}</difficult><bndbox>"
        f"<xmin>{x1 + 1!r}</xmin><ymin>{y1 + 1!r}</ymin><xmax>{x2!r}</xmax><ymax>{y2!r}</ymax></bndbox></object>"
        for position, ((x1, y1, x2, y2), label) in enumerate(
            zip(image.boxes.tolist(), image.labels.tolist(), strict=True)
        )
    ]
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>{image.name}.png</filename>{size}{''.join(objects)}</annotation>"


def rounded(made: list[Made]) -> list[Made]:
    """The same with the corners that VOC's whole pixels keep."""
    return [image._replace(boxes=image.boxes.round()) for image in made]


def _draw(made: list[Made], split: str, folder: Path) -> list[Made]:
    folder.mkdir(parents=True, exist_ok=True)
    images = [image for image in made if image.split == split]
    for image in images:
        noise = np.random.default_rng([*image.name.encode()]).integers(0, 256, (*image.size, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{image.name}.png")
    return images


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
