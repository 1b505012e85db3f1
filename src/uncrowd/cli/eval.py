"""`uncrowd eval WHAT --data D`: scores of a checkpoint or of anyone's detections."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from uncrowd.cli.progress import batches_done
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.open import open_splits
from uncrowd.data.results import read_coco_results, write_coco_results
from uncrowd.engine.evaluate import detect
from uncrowd.errors import InputError
from uncrowd.evaluation.coco import CocoEvaluator
from uncrowd.inference.predictor import load
from uncrowd.structures import Detections, PictureId


@dataclass(frozen=True, kw_only=True)
class EvalArguments:
    """Score a checkpoint, a run's folder, or a COCO results file from any detector."""

    # Weights (.safetensors), a run's folder, or detections (.json).
    what: tyro.conf.Positional[Path]
    # Folder or annotation file with the ground truth.
    data: Path
    # Which split; by default the validation split, or the only one there is.
    split: Literal["train", "val", "test"] | None = None
    # Detections of a picture and class that count: AR is given for each, AP for the last.
    max_dets: tuple[int, ...] = (1, 10, 100)
    # Also write the detections as COCO results.
    out: Path | None = None
    # Print one JSON object and nothing else on standard output.
    json: bool = False
    # Pictures at a time; it changes speed and memory alone.
    batch_size: int = 4
    # Processes that load pictures.
    workers: int = 2
    # "cpu", or by default the GPU where there is one.
    device: str | None = None


def main(argv: Sequence[str]) -> int:
    """Prints the scores."""
    arguments = tyro.cli(EvalArguments, args=list(argv), prog="uncrowd eval")
    if list(arguments.max_dets) != sorted(set(arguments.max_dets)) or arguments.max_dets[0] < 1:
        raise InputError("--max-dets takes rising positive numbers, such as 1 10 100.")
    dataset = choose_split(arguments.data, arguments.split)
    if arguments.what.suffix == ".json":
        detections = read_coco_results(arguments.what, dataset.categories, dataset.ids.tolist())
    else:
        detections = _detect(arguments, dataset)
    if arguments.out is not None:
        write_coco_results(arguments.out, detections)
    scores = CocoEvaluator(max_dets=arguments.max_dets).evaluate(dataset, detections, dataset.categories)
    if arguments.json:
        print(json.dumps({**scores.values, "per_class": scores.per_class}))
    else:
        print(f"{arguments.what} on {len(dataset)} pictures ({dataset.source.name}, {dataset.split}), COCO protocol:")
        print(scores.table())
    return 0


def choose_split(data: Path, wanted: str | None) -> DetectionDataset:
    """Returns the split asked for, else validation, else the only one. Raises InputError where there is none such."""
    splits = open_splits(data)
    present = {dataset.split: dataset for dataset in splits.present}
    if wanted is None and len(present) == 1:
        return next(iter(present.values()))
    name = wanted or "val"
    if name not in present:
        raise InputError(f"{data} has no {name} split; it has {', '.join(present)}: choose with --split.")
    return present[name]


def _detect(arguments: EvalArguments, dataset: DetectionDataset) -> dict[PictureId, Detections]:
    predictor = load(arguments.what, arguments.device)
    if predictor.categories.names != dataset.categories.names:
        raise InputError(
            f"{arguments.what} knows the classes {', '.join(predictor.categories.names)}, the data has "
            f"{', '.join(dataset.categories.names)}; score it on data of the same classes, in the same order."
        )
    predictor.categories = dataset.categories  # the data set's own ids
    with batches_done("scoring") as on_batch:
        detected = detect(
            predictor,
            dataset,
            batch_size=arguments.batch_size,
            workers=arguments.workers,
            on_batch=on_batch,
        )
    if detected.unreadable:
        shown = ", ".join(map(str, detected.unreadable[:3]))
        print(f"{len(detected.unreadable)} pictures cannot be read and count as empty: {shown}", file=sys.stderr)
    return detected.detections
