"""What `eval` scores and `figure compare` draws: a detector or anyone's detections, on one split of a dataset."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.odgt import is_odgt
from uncrowd.data.formats.open import Layout
from uncrowd.errors import InputError
from uncrowd.inference.evaluate import with_ids_of
from uncrowd.inference.predictor import Predictor, load
from uncrowd.inference.tta import TTAConfig

OptionalSplit = Annotated[
    Literal["train", "val", "test"] | None, arg(metavar="{train,val,test}", help_behavior_hint="")
]


def holds_detections(method: Path) -> bool:
    """Whether it is detections rather than weights or a run. Raises InputError where it is none of these."""
    if not method.exists():
        raise InputError(f"{method} does not exist; give weights, a run's folder, or detections.")
    suffix = method.suffix.lower()
    if method.is_dir() or suffix in (".safetensors", ".onnx"):
        return False
    if suffix not in (".json", ".odgt") and not is_odgt(method):
        raise InputError(
            f"{method} is neither a weights file (.safetensors, .onnx) nor detections, COCO results (.json) or "
            "CrowdHuman's odgt; convert it to one of these."
        )
    return True


def load_for(
    dataset: DetectionDataset,
    method: Path,
    device: str | None = None,
    tta: TTAConfig | None = None,
    *,
    bf16: bool = False,
) -> Predictor:
    """The detector, made to speak of the dataset's own category ids.

    Raises InputError as `load` does, and where its classes have other names.
    """
    return with_ids_of(dataset, load(method, device, tta, bf16=bf16), str(method))


def choose_split(layout: Layout, wanted: str | None) -> str:
    """The split asked for, else validation, else the only one. Raises InputError where there is none such."""
    data, present = layout.root, layout.annotations
    if data.is_file():
        if wanted is not None:
            raise InputError(f"{data} is one annotation file, all of which is used; leave --split out.")
    elif (wanted or "val") not in present and (wanted is not None or len(present) > 1):
        raise InputError(f"{data} has no {wanted or 'val'} split; it has {', '.join(present)}: choose with --split.")
    elif wanted is None and "train" in present and len(present) == 1:
        said = "so its training split is used; what was trained on it does better there than elsewhere"
        print(f"{data} has no validation split, {said}", file=sys.stderr)
    return wanted or ("val" if "val" in present else next(iter(present)))
