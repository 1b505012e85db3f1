"""Tries a detector with and without tiles: `python -m benchmarks.tiles_of_scenes WEIGHTS DATA` from the root.

The validation scenes of DATA, all of one size, are detected in one by one, and then as one image in which they lie side
by side. An object is found if a detection of its class at the threshold has an IoU of at least 0.5 with it; one
detection is counted for one object. The rest at an IoU of 0.5 with an object that another detection has found are
counted as second ones; neighbours give both ways some of these.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from benchmarks.command import run
from benchmarks.record import commit, machine
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from tyro.conf import Positional

import uncrowd
from uncrowd.boxes import pairwise_iou
from uncrowd.data.images.read import read_image
from uncrowd.errors import InputError
from uncrowd.structures import Detections


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Detect in scenes one by one and, cut into tiles, as one image."""

    # Weights, or the folder of a run.
    weights: Positional[Path]
    # A dataset with scenes of one size.
    data: Positional[Path]
    # Side of a tile.
    tile: int = 128
    # Pixels that neighbouring tiles share.
    overlap: int = 64
    # Scenes in a row of the image.
    columns: int = 10
    # Least score.
    threshold: float = 0.3


def main(argv: Sequence[str]) -> int:
    """Prints a line for each way."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.tiles_of_scenes")
    dataset = uncrowd.open_dataset(arguments.data).val
    if dataset is None:
        raise InputError(f"{arguments.data} has no validation split; give one that has.")
    samples = [*dataset][: len(dataset) // arguments.columns * arguments.columns]
    scenes = np.stack([read_image(sample.path) for sample in samples])
    height, width = scenes.shape[1:3]
    rows = scenes.reshape(-1, arguments.columns, height, width, 3)
    image = rows.transpose(0, 2, 1, 3, 4).reshape(len(rows) * height, arguments.columns * width, 3)
    places = [
        (number % arguments.columns * width, number // arguments.columns * height) for number in range(len(scenes))
    ]
    truth = torch.cat([_moved(torch.from_numpy(s.boxes).float(), at) for s, at in zip(samples, places, strict=True)])
    labels = torch.cat([torch.from_numpy(sample.labels) for sample in samples])
    print(f"{machine()}, commit {commit()}; {len(truth)} objects in {len(scenes)} scenes of {width} x {height} pixels")

    alone = uncrowd.load(arguments.weights).predict([*scenes], arguments.threshold)
    boxes = torch.cat([_moved(found.boxes, at) for found, at in zip(alone, places, strict=True)])
    print("one by one:", _score(truth, labels, boxes, torch.cat([found.labels for found in alone])))
    tiles = uncrowd.TilesConfig(side=arguments.tile, overlap=arguments.overlap)
    detector = uncrowd.load(arguments.weights, tiles=tiles)
    start = time.perf_counter()
    found: Detections = detector.predict(image, arguments.threshold)
    seconds = time.perf_counter() - start
    print(
        f"as one image of {image.shape[1]} x {image.shape[0]} in tiles:",
        _score(truth, labels, found.boxes, found.labels),
    )
    print(f"{seconds:.1f} s")
    return 0


def _moved(boxes: Tensor, place: tuple[int, int]) -> Tensor:
    return boxes + boxes.new_tensor(place * 2)


def _score(truth: Tensor, labels: Tensor, boxes: Tensor, found: Tensor) -> str:
    ious = pairwise_iou(truth, boxes) * (labels[:, None] == found)
    pairs = linear_sum_assignment(((ious >= 0.5) * (1 + ious)).numpy(), maximize=True)
    hit = int((ious[pairs] >= 0.5).sum())
    second = int((ious >= 0.5).any(dim=0).sum()) - hit
    return f"recall {hit / len(truth):.2%}, {len(boxes)} detections, {second} second ones"


if __name__ == "__main__":
    run(main)
