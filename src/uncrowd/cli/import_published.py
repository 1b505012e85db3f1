"""`uncrowd import SRC DST`: other people's checkpoints into ours."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights
from tyro.conf import Positional, arg

from uncrowd import config
from uncrowd.cli.flags import OptionalPath, parse
from uncrowd.data.coco import read_coco
from uncrowd.data.transforms import ResizeConfig
from uncrowd.errors import InputError
from uncrowd.models.published import read_published
from uncrowd.models.weights import save_weights
from uncrowd.structures import Categories


@dataclass(frozen=True, kw_only=True)
class ImportArguments:
    """Turn a Detectron2-style checkpoint of Sparse R-CNN, or of the authors' release, into a weights file."""

    # The published checkpoint (.pth); it is read without running any code it may contain.
    source: Annotated[Positional[Path], arg(metavar="SRC")]
    # The weights file to write (.safetensors).
    destination: Annotated[Positional[Path], arg(metavar="DST")]
    # Annotation file with the categories the checkpoint was trained on. Without one, 80 classes are COCO's, 1 is a
    # person (CrowdHuman), and any others get numbers for names.
    categories: OptionalPath = None


def main(argv: Sequence[str]) -> int:
    """Writes the weights file and says what it holds."""
    arguments = parse(ImportArguments, argv, "uncrowd import")
    model = read_published(arguments.source)
    categories = _categories(arguments.categories, model.config.num_classes)
    save_weights(arguments.destination, model, categories, config.to_dict(ResizeConfig()))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"every tensor of {arguments.source} was used, {parameters:,} parameters; written to {arguments.destination}")
    print(json.dumps(config.to_dict(model.config), indent=2))
    return 0


def _categories(file: Path | None, classes: int) -> Categories:
    if file is not None:
        categories = read_coco(file, pictures_needed=False).categories
        if len(categories) != classes:
            raise InputError(
                f"{file} has {len(categories)} categories, the checkpoint {classes}; "
                "name the annotation file it was trained with."
            )
        return categories
    match classes:
        case 80:
            # torchvision lists COCO's 91 ids in order, those that were never used as N/A
            names = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
            used = [(id, name) for id, name in enumerate(names) if name not in ("__background__", "N/A")]
            return Categories(ids=tuple(id for id, _ in used), names=tuple(name for _, name in used))
        case 1:
            return Categories(ids=(1,), names=("person",))
        case _:
            ids = tuple(range(1, classes + 1))
            return Categories(ids=ids, names=tuple(f"class {id}" for id in ids))
