"""Draws random ground truth and detections, with about as many boxes per image as COCO and CrowdHuman have."""

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int64

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.odgt import PERSON
from uncrowd.data.results.odgt import write_odgt_results
from uncrowd.structures import Categories, Detections, ImageId

Boxes = Float64[np.ndarray, "n 4"]
Labels = Int64[np.ndarray, " n"]

COCO_SIZE = (480, 640)
CLASSES = Categories(ids=tuple(range(1, 81)), names=tuple(f"class {number}" for number in range(1, 81)))
CROWD_SIZE = (800, 1200)


def draw_coco(images: int, detections: int, seed: int) -> tuple[DetectionDataset, dict[ImageId, Detections]]:
    """Draws about 7 objects per image. Few of the 80 classes are frequent; one object in a hundred is to be ignored."""
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, len(CLASSES) + 1)
    frequency /= frequency.sum()
    counts = rng.poisson(7, images)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    boxes, labels = _scattered(offsets[-1], rng), rng.choice(len(CLASSES), offsets[-1], p=frequency)
    found: dict[ImageId, Detections] = {}
    for image in range(images):
        own = slice(offsets[image], offsets[image + 1])
        found[image] = _coco_detections(boxes[own], labels[own], detections, frequency, rng)
    dataset = DetectionDataset(
        source=Path("made up"),
        split="val",
        categories=CLASSES,
        folder=Path("made up"),
        ids=np.arange(images),
        file_names=np.array([f"{image:06d}.jpg" for image in range(images)], dtype=np.str_),
        sizes=np.tile(COCO_SIZE, (images, 1)),
        offsets=offsets,
        boxes=boxes,
        labels=labels,
        ignore=rng.random(len(boxes)) < 0.01,
        areas=0.6 * np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),  # COCO's areas are those of masks
    )
    return dataset, found


def _coco_detections(
    boxes: Boxes, labels: Labels, count: int, frequency: Float64[np.ndarray, " c"], rng: np.random.Generator
) -> Detections:
    """Draws the detections of `count` queries: most objects with high scores, then duplicates, the rest anywhere."""
    once = np.flatnonzero(rng.random(len(boxes)) < 0.8)[:count]
    twice = rng.integers(0, len(boxes), (count - len(once)) // 2) if len(boxes) else once[:0]
    rest = count - len(once) - len(twice)
    near = [_moved(boxes[once], 0.05, rng), _moved(boxes[twice], 0.15, rng)]
    scores = np.concatenate([rng.beta(4, 2, len(once)), rng.beta(1, 9, len(twice) + rest)])
    all_labels = np.concatenate([labels[once], labels[twice], rng.choice(len(frequency), rest, p=frequency)])
    return _ranked(np.concatenate([*near, _scattered(rest, rng)]), scores, all_labels, CLASSES)


def _scattered(count: int, rng: np.random.Generator) -> Boxes:
    """Draws boxes anywhere, with sides from a few pixels to most of the image: all three of COCO's size ranges."""
    height, width = COCO_SIZE
    sides = rng.lognormal(np.log(70), 0.9, (count, 2)).clip(4, (width - 1, height - 1))
    corner = rng.uniform(0, 1, (count, 2)) * ((width, height) - sides)
    return np.concatenate([corner, corner + sides], axis=1)


def write_crowds(truth: Path, found: Path, *, images: int, detections: int, seed: int) -> None:
    """Writes ground truth and detections as odgt: about 23 people, 3 ignore regions and `detections` per image."""
    rng = np.random.default_rng(seed)
    drawn: dict[ImageId, Detections] = {}
    height, width = CROWD_SIZE
    with truth.open("w", encoding="utf-8") as file:
        for number in range(images):
            people, regions = _people(rng), _standing(rng.uniform((0, 0), (width, height), (rng.poisson(3), 2)), rng)
            gtboxes = [{"tag": "person", "fbox": box, "extra": {"ignore": 0}} for box in _as_xywh(people)]
            gtboxes += [{"tag": "mask", "fbox": box, "extra": {"ignore": 1}} for box in _as_xywh(regions)]
            record = {"ID": f"{number:06d}", "height": height, "width": width, "gtboxes": gtboxes}
            file.write(json.dumps(record) + "\n")
            drawn[f"{number:06d}"] = _crowd_detections(people, detections, rng)
    write_odgt_results(found, drawn, dict.fromkeys(drawn, CROWD_SIZE))


def _crowd_detections(people: Boxes, count: int, rng: np.random.Generator) -> Detections:
    """Draws as `_coco_detections` does; the rest are boxes where people may stand."""
    found = people[rng.random(len(people)) < 0.93][:count]
    doubles = people[rng.integers(0, len(people), int(0.4 * (count - len(found))))]
    boxes = np.concatenate([_moved(found, 0.03, rng), _moved(doubles, 0.12, rng)])
    while len(boxes) < count:
        boxes = np.concatenate([boxes, _people(rng)])
    boxes = boxes[:count]
    scores = np.concatenate([rng.beta(5, 1.5, len(found)), rng.beta(1, 9, len(boxes) - len(found))])
    return _ranked(boxes, scores, np.zeros(len(boxes), dtype=np.int64), PERSON)


def _people(rng: np.random.Generator) -> Boxes:
    """Draws about 23 people in a few groups; within a group they stand in front of each other."""
    height, width = CROWD_SIZE
    groups = rng.uniform((0, height / 4), (width, height), (rng.integers(1, 5), 2))
    centres = groups[rng.integers(0, len(groups), max(1, rng.poisson(23)))]
    return _standing(centres + rng.normal(0, (120, 40), centres.shape), rng)


def _standing(centres: Float64[np.ndarray, "n 2"], rng: np.random.Generator) -> Boxes:
    """Returns upright boxes, most of them 70 to 400 pixels high; they may reach outside the image."""
    height = rng.lognormal(np.log(170), 0.5, (len(centres), 1))
    half = np.concatenate([height * rng.normal(0.42, 0.05, height.shape).clip(0.2), height], axis=1) / 2
    return np.concatenate([centres - half, centres + half], axis=1)


def _moved(boxes: Boxes, by: float, rng: np.random.Generator) -> Boxes:
    """Returns the boxes with each corner moved by about this share of the sides."""
    return boxes + rng.normal(0, by, boxes.shape) * np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def _ranked(boxes: Boxes, scores: Float64[np.ndarray, " n"], labels: Labels, categories: Categories) -> Detections:
    order = np.argsort(-scores)
    return Detections(
        boxes=torch.from_numpy(boxes[order]).float(),
        scores=torch.from_numpy(scores[order]).float(),
        labels=torch.from_numpy(labels[order]),
        categories=categories,
    )


def _as_xywh(boxes: Boxes) -> list[list[float]]:
    """Returns the boxes in whole pixels, as annotators draw them."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).round().tolist()
