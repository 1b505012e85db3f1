"""`uncrowd figure compare A B --data DATA`: draws two methods beside the ground truth (Figures 7 to 10)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import UInt8
from tyro.conf import Positional, arg

from uncrowd.cli.figure_file import images_named, require_figure_file, save_figure
from uncrowd.cli.flags import OptionalClasses, OptionalDevice, parse, require_device
from uncrowd.cli.method import (
    OptionalSplit,
    choose_classes,
    choose_split,
    found_in,
    held_out_of,
    holds_detections,
    load_for,
)
from uncrowd.data.classes import keep_classes
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.layout import find_layout
from uncrowd.data.formats.open import open_split
from uncrowd.data.images.read import read_image
from uncrowd.data.results.file import read_results
from uncrowd.errors import InputError, require_at_least, require_threshold
from uncrowd.structures import Detections, ImageId
from uncrowd.visualize.draw import draw_detections
from uncrowd.visualize.ground_truth import draw_ground_truth, need_captions
from uncrowd.visualize.sheet import grid, in_column
from uncrowd.words import first


@dataclass(frozen=True, kw_only=True)
class CompareArguments:
    """Draw the detections of two methods beside the ground truth (Figures 7 to 10), one row for each image.

    Boxes that the ground truth marks as ignored are dashed and grey.
    """

    # First method: weights (.safetensors), the folder of a run, the name of a detector that comes with uncrowd, or
    # detections (COCO's .json, CrowdHuman's .odgt).
    first: Annotated[Positional[Path], arg(metavar="A")]
    # Second method, given in the same way.
    second: Annotated[Positional[Path], arg(metavar="B")]
    # The dataset with the images and the ground truth: its folder, or one annotation file.
    data: Path
    # Classes to keep, as in `uncrowd eval --classes`; by default those of the run that A is or belongs to.
    classes: OptionalClasses = ()
    # Split of the folder to use; by default the validation split, or the only split.
    split: OptionalSplit = None
    # The figure to write (.png or .jpg).
    out: Path = Path("compare.png")
    # Ids of the images to show; by default the images with the most boxes.
    images: Annotated[tuple[str, ...], arg(metavar="ID [ID ...]", help_behavior_hint="")] = ()
    # Number of images to show if --images is not given.
    count: int = 4
    # Draw only detections with at least this score, between 0 and 1.
    threshold: float = 0.3
    # Names of the two methods in the figure; by default those of their files or folders.
    names: Annotated[tuple[str, ...], arg(metavar="A B", help_behavior_hint="")] = ()
    # Device to compute on: cpu, cuda, cuda:1 (the second GPU) or mps (the GPU of a Mac). By default a GPU if there is
    # one, else the CPU.
    device: OptionalDevice = None


def compare(argv: Sequence[str]) -> int:
    """Writes the figure and prints which images it shows."""
    arguments = parse(CompareArguments, argv, "uncrowd figure compare")
    _require_usable(arguments)
    layout = find_layout(arguments.data)
    of_all_classes = open_split(layout, choose_split(layout, arguments.split))
    classes = choose_classes(arguments.classes, arguments.first)
    dataset = of_all_classes if classes is None else keep_classes(of_all_classes, classes)
    methods = arguments.first, arguments.second
    if not arguments.images:
        dataset = held_out_of(dataset, layout, arguments.split, methods)
    require_figure_file(arguments.out, *images_named(arguments.out.name, [dataset]))
    shown = dataset.subset(_chosen(arguments.images, arguments.count, dataset))
    found = [
        found_in(read_results(method), of_all_classes, classes)
        if holds_detections(method)
        else _detect(method, dataset, shown, arguments.device)
        for method in methods
    ]
    rows = []
    for sample in shown:
        image, scale = in_column(read_image(sample.path, sample.size))
        drawn = [_draw_found(image, scale, by_id[sample.id].above(arguments.threshold)) for by_id in found]
        rows.append([*drawn, draw_ground_truth(image, sample, dataset.categories, scale)])
    names = arguments.names or tuple(method.name if method.is_dir() else method.stem for method in methods)
    save_figure(arguments.out, grid([*names, "ground truth"], rows))
    ids = ", ".join(map(str, shown.ids.tolist()))
    which = "" if arguments.images else " (those with the most boxes)"
    print(f"images {ids}{which}; scores of {arguments.threshold:g} or more; written to {arguments.out}")
    return 0


def _require_usable(arguments: CompareArguments) -> None:
    require_figure_file(arguments.out, arguments.first, arguments.second)
    require_device(arguments.device)
    require_at_least(1, **{"--count": arguments.count})
    require_threshold(arguments.threshold, "--threshold")
    if arguments.names and len(arguments.names) != 2:
        raise InputError(f"--names has {len(arguments.names)} names; give one for each of the two methods.")
    for method in (arguments.first, arguments.second):
        holds_detections(method)  # raises InputError if the method is neither weights nor detections


def _chosen(wanted: Sequence[str], count: int, dataset: DetectionDataset) -> list[int]:
    """Returns positions in the dataset: of the images with these ids, or of those with the most boxes not ignored."""
    if not wanted:
        counts = [int((~sample.ignore).sum()) for sample in dataset]
        return sorted(range(len(dataset)), key=lambda index: -counts[index])[:count]
    index_of = {str(id): index for index, id in enumerate(dataset.ids.tolist())}
    for id in wanted:
        if id not in index_of:
            raise InputError(f"{dataset.source} has no image with the id {id}; its ids are {first(index_of, 5)}.")
    return [index_of[id] for id in wanted]


def _detect(
    method: Path, dataset: DetectionDataset, shown: DetectionDataset, device: str | None
) -> dict[ImageId, Detections]:
    predictor = load_for(dataset, method, device)
    images = [read_image(sample.path, sample.size) for sample in shown]
    return dict(zip(shown.ids.tolist(), predictor.predict(images), strict=True))


def _draw_found(
    image: UInt8[np.ndarray, "h w 3"], scale: np.ndarray, found: Detections
) -> UInt8[np.ndarray, "_h _w 3"]:
    return draw_detections(
        image,
        found.boxes.double().numpy() * scale,
        labels=found.labels,
        captions=found.captions if need_captions(found.categories) else None,
    )
