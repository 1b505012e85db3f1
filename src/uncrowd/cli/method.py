"""What `eval` scores and `figure compare` draws, a detector or a file of detections, and the split to take."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from tyro.conf import arg

from uncrowd.data.classes import ClassMap, class_map, keep_classes_of
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.layout import Layout
from uncrowd.data.formats.odgt import is_odgt
from uncrowd.data.results.coco import CocoResults
from uncrowd.data.results.odgt import OdgtResults
from uncrowd.errors import InputError
from uncrowd.inference.evaluate import with_ids_of
from uncrowd.inference.formats import is_exported
from uncrowd.inference.load import load
from uncrowd.inference.predictor import Predictor
from uncrowd.runs.folder import classes_of_run
from uncrowd.runs.held_out import held_out
from uncrowd.structures import Detections, ImageId
from uncrowd.weights.packaged import located, offered
from uncrowd.words import counted

OptionalSplit = Annotated[
    Literal["train", "val", "test"] | None, arg(metavar="{train,val,test}", help_behavior_hint="")
]


def holds_detections(method: Path) -> bool:
    """Returns whether `method` is a file of detections and not a detector. Raises InputError if it is neither."""
    method = located(method)
    if not method.exists():
        raise InputError(f"{method} does not exist; give weights, the folder of a run, or detections{offered()}.")
    if method.is_dir() and not any(method.glob("*.safetensors")):
        text = next((file for file in sorted(method.rglob("*")) if file.suffix in (".txt", ".csv", ".xml")), None)
        if text is not None:
            raise InputError(
                f"{method} is not the folder of a run and holds {text.relative_to(method)}; give the detections in one "
                "file, as COCO results (.json) or CrowdHuman's odgt."
            )
    suffix = method.suffix.lower()
    if method.is_dir() or suffix == ".safetensors" or is_exported(method):
        return False
    if suffix not in (".json", ".odgt") and not is_odgt(method):
        raise InputError(
            f"{method} is neither a weights file (.safetensors, .onnx, .xml) nor detections, COCO results (.json) or "
            "CrowdHuman's odgt; convert it to one of these."
        )
    return True


def load_for(dataset: DetectionDataset, method: Path, device: str | None = None, **options: Any) -> Predictor:
    """Returns the detector, which reports the category ids of the dataset. options: those of `load`.

    Raises InputError like `load`, and when its classes differ from those of the dataset in names or order.
    """
    return with_ids_of(dataset, load(method, device, **options), str(method))


def choose_classes(given: tuple[str, ...], method: Path) -> ClassMap | None:
    """Returns the class map that was given, else that of the run to which a detector or its detections belong."""
    return class_map(given) if given else classes_of_run(_run_of(method))


def found_in(
    results: CocoResults | OdgtResults, of_all_classes: DetectionDataset, classes: ClassMap | None
) -> dict[ImageId, Detections]:
    """Returns the detections of a file in each image, with the classes of the map.

    of_all_classes: the dataset before its classes were mapped, because the file may have them all. Raises InputError as
    `by_image` does.
    """
    found = results.by_image(of_all_classes.categories, of_all_classes.ids.tolist(), of_all_classes.file_names.tolist())
    if classes is None:
        return found
    return {id: keep_classes_of(of_image, classes, of_all_classes.source) for id, of_image in found.items()}


def held_out_of(
    dataset: DetectionDataset, layout: Layout, wanted: str | None, methods: Sequence[Path]
) -> DetectionDataset:
    """Returns, of a training split that nobody asked for, the images that runs of these methods held out.

    methods: detectors, or files of detections. Where none of them is of a run that held images of this dataset out, or
    two held out others, all images are returned, and it is said what that means. Other splits are returned as they are.
    """
    if wanted is not None or layout.splits != ["train"]:
        return dataset
    held = [part for method in methods if (part := held_out(_run_of(method), dataset)) is not None]
    if held and all(np.array_equal(part.ids, held[0].ids) for part in held):
        print(
            f"{layout.root} has no validation split; only the {counted(len(held[0]), 'image')} are used that were held "
            "out in training (--split train uses all)",
            file=sys.stderr,
        )
        return held[0]
    if held or not layout.root.is_file():
        print(
            f"{layout.root} has no validation split, so its training split is used; a detector that was trained on it "
            "scores better there than on new images.",
            file=sys.stderr,
        )
    return dataset


def _run_of(method: Path) -> Path:
    """Returns the folder in which the run of a detector, or of its detections, would be."""
    method = located(method)
    return method if method.is_dir() else method.parent


def choose_split(layout: Layout, wanted: str | None) -> str:
    """Returns the wanted split, else the validation split, else the only one. Raises InputError if there is none."""
    data, present = layout.root, layout.splits
    if data.is_file():
        if wanted is not None and wanted not in present:
            raise InputError(f"{data} is one annotation file, its {present[0]} split; leave --split out.")
    elif (wanted or "val") not in present and (wanted is not None or len(present) > 1):
        raise InputError(f"{data} has no {wanted or 'val'} split; it has {', '.join(present)}: choose with --split.")
    return wanted or ("val" if "val" in present else next(iter(present)))
