"""`uncrowd eval WHAT --data D`: scores of a checkpoint or of anyone's detections."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from uncrowd.cli.flags import OptionalDevice, OptionalPath, parse, require_device
from uncrowd.cli.progress import batches_done
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.open import find_layout, open_split
from uncrowd.data.results import read_coco_results, write_coco_results
from uncrowd.engine.evaluate import detect
from uncrowd.errors import InputError, require_at_least
from uncrowd.evaluation.coco import CocoEvaluator
from uncrowd.inference.predictor import load
from uncrowd.structures import Categories, Detections, PictureId

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class EvalArguments:
    """Score a trained detector, or a COCO results file of any detector, as COCO does.

    For a results file the pictures need not be there.
    """

    # Weights (.safetensors), a run's folder, or detections (.json, a COCO results file).
    what: Annotated[Positional[Path], arg(metavar="WHAT")]
    # The data set with the ground truth: its folder, or one annotation file.
    data: Path
    # Which split of a folder; by default the validation split, or the only one there is.
    split: Annotated[Split | None, arg(metavar="{train,val,test}", help_behavior_hint="")] = None
    # Detections of a picture and class that count: AR is given for each number, AP for the last.
    max_dets: tuple[int, ...] = (1, 10, 100)
    # Also write the detections there, as COCO results (.json).
    out: OptionalPath = None
    # Print one JSON object and nothing else on standard output.
    json: bool = False
    # Pictures at a time; it changes speed and memory alone.
    batch_size: int = 4
    # Processes that load pictures.
    workers: int = 2
    # By default the GPU where there is one.
    device: OptionalDevice = None


def main(argv: Sequence[str]) -> int:
    """Prints the scores."""
    arguments = parse(EvalArguments, argv, "uncrowd eval")
    _require_usable(arguments)
    of_a_file = arguments.what.suffix == ".json"
    dataset = choose_split(arguments.data, arguments.split, pictures_needed=not of_a_file)
    if of_a_file:
        detections = read_coco_results(arguments.what, dataset.categories, dataset.ids.tolist())
    else:
        detections = _detect(arguments, dataset)
    if arguments.out is not None:
        write_coco_results(arguments.out, detections)
    scores = CocoEvaluator(max_dets=arguments.max_dets).evaluate(dataset, detections, dataset.categories)
    if arguments.json:
        print(json.dumps({**scores.values, "per_class": scores.per_class}, allow_nan=False))
    else:
        print(f"{arguments.what} on the {len(dataset)} pictures of {dataset.source}, COCO protocol:")
        print(scores.table())
    return 0


def choose_split(data: Path, wanted: Split | None, *, pictures_needed: bool = True) -> DetectionDataset:
    """Opens the split asked for, else validation, else the only one. Raises InputError where there is none such."""
    layout = find_layout(data)
    present = layout.annotations
    if data.is_file():
        if wanted is not None:
            raise InputError(f"{data} is one annotation file, all of which is scored; leave --split out.")
    elif (wanted or "val") not in present and (wanted is not None or len(present) > 1):
        raise InputError(f"{data} has no {wanted or 'val'} split; it has {', '.join(present)}: choose with --split.")
    elif wanted is None and "train" in present and len(present) == 1:
        print(f"{data} has no validation split: the training split is scored, seen in training or not", file=sys.stderr)
    split = wanted or ("val" if "val" in present else next(iter(present)))
    return open_split(layout, split, pictures_needed=pictures_needed)


def _require_usable(arguments: EvalArguments) -> None:
    """Refuses what would only be noticed after all pictures were gone through."""
    max_dets = arguments.max_dets
    if not max_dets or list(max_dets) != sorted(set(max_dets)) or max_dets[0] < 1:
        raise InputError("--max-dets takes rising positive numbers, such as 1 10 100.")
    require_at_least(1, **{"--batch-size": arguments.batch_size})
    require_at_least(0, **{"--workers": arguments.workers})
    require_device(arguments.device)
    if not arguments.what.exists():
        raise InputError(f"{arguments.what} does not exist; give weights, a run's folder, or a COCO results file.")
    if arguments.what.is_file() and arguments.what.suffix not in (".json", ".safetensors"):
        raise InputError(
            f"{arguments.what} is neither a weights file (.safetensors) nor a COCO results file (.json); "
            "convert it to one of these."
        )
    if arguments.out is not None and (arguments.out.is_dir() or not arguments.out.parent.is_dir()):
        raise InputError(f"{arguments.out} cannot be written; --out names a file in a folder that exists.")


def _detect(arguments: EvalArguments, dataset: DetectionDataset) -> dict[PictureId, Detections]:
    predictor = load(arguments.what, arguments.device)
    if predictor.categories.names != dataset.categories.names:
        raise InputError(
            f"{arguments.what} knows {_classes(predictor.categories)}, {dataset.source} has "
            f"{_classes(dataset.categories)}; score it on data of the same classes, in the order of their ids."
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
        shown = ", ".join(map(str, detected.unreadable[:3])) + (", ..." if len(detected.unreadable) > 3 else "")
        print(f"pictures that cannot be read and count as empty: {len(detected.unreadable)} ({shown})", file=sys.stderr)
    return detected.detections


def _classes(categories: Categories) -> str:
    shown = ", ".join(categories.names[:5]) + (", ..." if len(categories) > 5 else "")
    return f"{len(categories)} class{'es' if len(categories) != 1 else ''} ({shown})"
