"""`uncrowd check DATA`: reports what is wrong with a dataset and what training would do about it."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from uncrowd.cli.check_figure import draw_splits
from uncrowd.cli.figure_file import images_named, require_figure_file, save_figure
from uncrowd.cli.flags import OptionalClasses, parse
from uncrowd.data.check.boxes import learnable
from uncrowd.data.check.dataset import Checked, check, scan
from uncrowd.data.classes import class_map
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.format import BoxKind
from uncrowd.data.formats.layout import find_layout
from uncrowd.data.images.file import MAX_PIXELS
from uncrowd.data.problems import MAX_EXAMPLES, Finding
from uncrowd.errors import require_at_least
from uncrowd.words import counted


@dataclass(frozen=True, kw_only=True)
class CheckArguments:
    """Check a dataset: opens every image and examines every box, and changes nothing.

    An error makes training refuse the dataset. A warning names something that training leaves out or that is probably a
    mistake, and a note is for information. The exit status is 2 if there are errors.
    """

    # Folder of the dataset, or its annotation file: COCO JSON, CrowdHuman's odgt, YOLO's data.yaml or Pascal VOC's XML
    # files. Several, separated by commas, are read as one.
    data: Annotated[Positional[Path], arg(metavar="DATA")]
    # Boxes of CrowdHuman's odgt to use: fbox is the full body, vbox its visible part, hbox the head.
    box: BoxKind = "fbox"
    # Classes to keep: person, or person=pedestrian,rider for two under a new name. Objects of others are left out.
    # Double quotes keep a name with = or a comma together: 'person="man, old",rider'.
    classes: OptionalClasses = ()
    # List every image and box that a finding is about, instead of the first three.
    all: bool = False
    # Draw some images of each split, with their boxes as they were read, into this file (.png or .jpg).
    draw: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    # Width times height up to which an image is decoded; larger ones count as unreadable.
    max_pixels: int = MAX_PIXELS
    # Print only one JSON object on standard output.
    json: bool = False


def main(argv: Sequence[str]) -> int:
    """Prints the findings. Returns 2 if training would refuse the dataset, else 0."""
    arguments = parse(CheckArguments, argv, "uncrowd check")
    require_at_least(1, **{"--max-pixels": arguments.max_pixels})
    scanned = scan(
        find_layout(arguments.data), arguments.box, class_map(arguments.classes) if arguments.classes else None
    )
    if arguments.draw is not None:
        require_figure_file(arguments.draw, *images_named(arguments.draw.name, scanned.splits.present), flag="--draw")
    if not arguments.json:
        print(scanned.splits.outline(), flush=True)
    checked = check(scanned, max_pixels=arguments.max_pixels)
    if arguments.json:
        print(json.dumps(_as_json(checked, every=arguments.all), indent=2))
    else:
        for finding in checked.findings:
            for line in finding.lines() if arguments.all else [finding.sentence()]:
                print(line)
        print(_summary(checked))
    if arguments.draw is not None:
        said = _draw(checked, arguments.draw, arguments.max_pixels)
        print(said, file=sys.stderr if arguments.json else sys.stdout)
    return 2 if checked.number("error") else 0


def _draw(checked: Checked, file: Path, max_pixels: int) -> str:
    drawn = draw_splits(checked, max_pixels)
    if drawn is None:
        return f"No image can be read, so {file} was not written."
    save_figure(file, drawn)
    return f"Some images with their boxes are in {file}."


def _summary(checked: Checked) -> str:
    errors, warnings = checked.number("error"), checked.number("warning")
    found = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
    verdict = found if errors or warnings else "Nothing is wrong with it."
    data = checked.training
    if data is None:
        return f"{verdict}\nTraining refuses this dataset until the errors are mended."
    learnt, scored = _use(checked, data.train), _use(checked, data.val)
    return f"{verdict}\nTraining will learn from {learnt} and score on {scored}: {data.scored_on}."


def _use(checked: Checked, dataset: DetectionDataset) -> str:
    """In words, what training uses of a dataset."""
    images, usable = len(dataset), checked.usable_images(dataset)
    shown = counted(images, "image") if usable == images else f"{usable} of {counted(images, 'image')}"
    return f"{shown} with {counted(int(learnable(dataset).sum()), 'box')}"


def _as_json(checked: Checked, *, every: bool) -> dict[str, Any]:
    """The schema that docs/check.md describes: keys may be added to it, but none changes."""
    splits, data = checked.scanned.splits, checked.training
    return {
        "data": str(splits.root),
        "format": splits.format,
        "splits": {dataset.split: _split_as_json(dataset) for dataset in splits.present},
        "findings": [_finding_as_json(finding, every=every) for finding in checked.findings],
        "errors": checked.number("error"),
        "warnings": checked.number("warning"),
        "training": None
        if data is None
        else {
            "train": _use_as_json(checked, data.train),
            "val": _use_as_json(checked, data.val),
            "scored_on": data.scored_on,
        },
    }


def _split_as_json(dataset: DetectionDataset) -> dict[str, Any]:
    boxes = np.bincount(dataset.labels, minlength=len(dataset.categories)).tolist()
    return {
        "annotations": str(dataset.source),
        "images": len(dataset),
        "boxes": len(dataset.boxes),
        "ignored": int(dataset.ignore.sum()),
        "classes": dict(zip(dataset.categories.names, boxes, strict=True)),
        "annotated": dataset.annotated,
    }


def _finding_as_json(finding: Finding, *, every: bool) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "split": finding.split,
        "count": finding.count,
        "message": finding.message,
        "training": finding.training,
        "examples": list(finding.examples if every else finding.examples[:MAX_EXAMPLES]),
    }


def _use_as_json(checked: Checked, dataset: DetectionDataset) -> dict[str, int]:
    return {
        "images": len(dataset),
        "usable_images": checked.usable_images(dataset),
        "boxes": int(learnable(dataset).sum()),
    }
