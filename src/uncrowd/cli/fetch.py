"""`uncrowd fetch NAME --out FOLDER`: writes a dataset of the Hugging Face Hub as a COCO folder."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from uncrowd.cli.flags import parse
from uncrowd.data.hub.box_order import BoxOrder
from uncrowd.data.hub.fetch import fetch_dataset


@dataclass(frozen=True, kw_only=True)
class FetchArguments:
    """Fetch a detection dataset from the Hugging Face Hub and write it as a COCO folder, with its splits.

    The dataset has a column of images, and a column `objects` with `bbox` and `category`. Images keep their bytes. Rows
    are streamed, and nothing else of the dataset is kept.
    """

    # Its name on the Hub, such as cppe-5, or a folder: one that `save_to_disk` wrote, Parquet files, or images with
    # metadata.jsonl.
    name: Annotated[Positional[str], arg(metavar="NAME")]
    # Folder to write; it must be new or empty.
    out: Path
    # Splits to fetch, as the dataset calls them: train, or val=dev where its name does not say whether it is train, val
    # or test. By default all.
    split: Annotated[tuple[str, ...], arg(metavar="SPLIT [SPLIT ...]", help_behavior_hint="")] = ()
    # One of several subsets (configurations) of the dataset.
    subset: Annotated[str | None, arg(metavar="SUBSET", help_behavior_hint="")] = None
    # Branch, tag or commit; by default the newest.
    revision: Annotated[str | None, arg(metavar="REVISION", help_behavior_hint="")] = None
    # Order of the numbers of a box: xywh (left, top, width, height), xyxy (corners) or cxcywh (centre, width, height).
    # By default they are read as xywh, and refused if they seem to be in another.
    boxes: Annotated[BoxOrder | None, arg(metavar="{xywh,xyxy,cxcywh}", help_behavior_hint="")] = None
    # Boxes are shares of the width and height of their images.
    relative: bool = False


def main(argv: Sequence[str]) -> int:
    """Prints what the folder holds, and what training would leave out of it."""
    arguments = parse(FetchArguments, argv, "uncrowd fetch")
    with Console(stderr=True).status("fetching") as status:
        splits = fetch_dataset(
            arguments.name,
            arguments.out,
            split=arguments.split,
            subset=arguments.subset,
            revision=arguments.revision,
            boxes=arguments.boxes,
            relative=arguments.relative,
            on_image=lambda number: status.update(f"fetching: {number} images") if sys.stderr.isatty() else None,
        )
    print(splits.describe())
    return 0
