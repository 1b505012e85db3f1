"""`uncrowd import SRC DST`: converts a published checkpoint into a weights file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from uncrowd import config
from uncrowd.cli.flags import OptionalPath, parse
from uncrowd.data.formats.coco import read_coco
from uncrowd.data.transforms import ResizeConfig
from uncrowd.errors import InputError
from uncrowd.models.cost import number_of_parameters
from uncrowd.structures import Categories
from uncrowd.weights.destination import require_destination
from uncrowd.weights.file import save_weights
from uncrowd.weights.published import read_published
from uncrowd.weights.published.coco import coco_categories
from uncrowd.words import counted, first


@dataclass(frozen=True, kw_only=True)
class ImportArguments:
    """Convert a published checkpoint into a weights file for `predict`, `eval` and `train --start-from`.

    Checkpoints (.pth) of these projects are known: the release of Sparse R-CNN, the authors' release of IoU-ESA and DCW
    (both based on Detectron2), mmdetection's Sparse R-CNN, and DETR. To add IoU-ESA and DCW to a Sparse R-CNN
    afterwards, use `uncrowd upgrade`.
    """

    # The published checkpoint (.pth); code that it may contain is not run.
    source: Annotated[Positional[Path], arg(metavar="SRC")]
    # The weights file to write (.safetensors).
    destination: Annotated[Positional[Path], arg(metavar="DST")]
    # Replace a file that is there already.
    overwrite: bool = False
    # Annotation file with the categories of the training data. By default the names are read from the checkpoint. If it
    # has none, 80 classes get COCO's names, a single class is a person (CrowdHuman), and others are numbered.
    categories: OptionalPath = None


def main(argv: Sequence[str]) -> int:
    """Writes the weights file and prints what it holds."""
    arguments = parse(ImportArguments, argv, "uncrowd import")
    replace = arguments.overwrite
    require_destination(arguments.destination, arguments.source, "a weights file", ".safetensors", replace=replace)
    published = read_published(arguments.source)
    model = published.model
    categories = _categories(arguments.categories, published.class_names, model.config.num_classes)
    save_weights(arguments.destination, model, categories, ResizeConfig())
    parameters = number_of_parameters(model)
    print(f"{arguments.source} holds {published.naming}: all its weights were used, {parameters:,} parameters")
    for note in published.notes:
        print(f"NOTE: {note}")
    print(f"{counted(len(categories), 'class')}: {first(categories.names, 5)}")
    print(f"written to {arguments.destination}")
    print(json.dumps(config.to_dict(model.config), indent=2))
    return 0


def _categories(file: Path | None, given: tuple[str, ...] | None, classes: int) -> Categories:
    if file is not None:
        categories = read_coco(file, images_needed=False).categories
        if len(categories) != classes:
            raise InputError(
                f"{file} has {len(categories)} categories, the checkpoint {classes}; "
                "name the annotation file with which it was trained."
            )
        return categories
    coco = coco_categories()
    if given == coco.names or (given is None and classes == len(coco)):
        return coco
    ids = tuple(range(1, classes + 1))
    if given is None:
        given = ("person",) if classes == 1 else tuple(f"class {id}" for id in ids)
    return Categories(ids=ids, names=given)
