"""Scores ways to lower the scores of duplicates: `python -m benchmarks.duplicates FOUND DATA` from the project's root.

FOUND is a file of results whose duplicates were not lowered, such as the `detections.json` of a run, which is on its
validation split; `uncrowd eval WEIGHTS --data DATA --lower-duplicates inf --out FOUND` writes one. Beside our own way
at several powers stand Soft-NMS, and NMS, which deletes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from benchmarks.claims.lowered import lowered
from benchmarks.claims.resampled import scorer
from benchmarks.claims.run import IOUS
from benchmarks.claims.suppression import NMS_IOUS, nms, soft_nms
from benchmarks.claims.tables import cell, has_few_overlapped, markdown, words
from benchmarks.command import run
from tyro.conf import Positional

import uncrowd
from uncrowd.cli.flags import parse
from uncrowd.data.results.file import read_detections
from uncrowd.errors import InputError
from uncrowd.evaluation.analysis.nearest import OVERLAPS, crowding
from uncrowd.structures import Detections

# What each detection of an image, best first, becomes.
Way = Callable[[Detections], Detections]
POWERS = (1.0, 2.0, 3.0, 4.0, 6.0)
SHOWN = ("AP", "AP50", "AP75", "JI", "found at 0.5")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Score ways to lower the scores of duplicates, from detections whose duplicates were not lowered."""

    # A file of results.
    found: Positional[Path]
    # The dataset.
    data: Positional[Path]
    # The split of it that the results are of.
    split: Literal["train", "val", "test"] = "val"


def main(argv: Sequence[str]) -> int:
    """Prints a row for each way."""
    arguments = parse(Arguments, argv, "python -m benchmarks.duplicates")
    dataset = getattr(uncrowd.open_dataset(arguments.data), arguments.split)
    if dataset is None:
        raise InputError(f"{arguments.data} has no split {arguments.split}; choose another one with --split.")
    found = read_detections(arguments.found, dataset.categories, dataset.ids.tolist())
    samples, once = list(dataset), np.ones(len(dataset), dtype=np.int64)
    objects = np.bincount(crowding(samples), minlength=len(OVERLAPS)).tolist()
    shown = SHOWN[:-1] if has_few_overlapped(objects) else SHOWN
    rows = []
    for name, way in ways().items():
        ranked = {id: way(each) for id, each in found.items()}
        scores = scorer(samples, ranked, dataset.categories, ious=IOUS, threshold=None)(once)
        rows.append([name, *(cell(score, scores.get(score, np.nan)) for score in shown)])
    print(markdown(["duplicates", *map(words, shown)], rows))
    return 0


def ways() -> dict[str, Way]:
    """Returns all ways by name."""
    return {
        "as they are": lambda found: found,
        **{f"lowered, {power:g}": partial(lowered, power=power) for power in POWERS},
        "Soft-NMS": soft_nms,
        **{f"NMS at {iou:g}": partial(nms, iou=iou) for iou in NMS_IOUS},
    }


if __name__ == "__main__":
    run(main)
