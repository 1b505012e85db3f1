"""Cuts the test split of the nuclei from their training images: `python -m benchmarks.nuclei nuclei nuclei-split`.

The first folder is a dataset in COCO's layout with the splits train and val and masks; the second one is made, with the
splits train, val and test, outlines and a link to the images. The images of `benchmarks/claims/nuclei_test.txt` go to
the test split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from benchmarks.claims.nuclei_images import cut_test_split
from benchmarks.command import run
from tyro.conf import Positional, arg

from uncrowd.cli.flags import parse


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Cut the test split of the nuclei from their training images."""

    # The folder of the dataset.
    source: Annotated[Positional[Path], arg(metavar="SOURCE")]
    # The folder to make.
    out: Annotated[Positional[Path], arg(metavar="OUT")]


def main(argv: Sequence[str]) -> int:
    """Writes the three splits and prints their sizes."""
    arguments = parse(Arguments, argv, "python -m benchmarks.nuclei")
    for split, images in cut_test_split(arguments.source, arguments.out).items():
        print(f"{split}: {images} images")
    return 0


if __name__ == "__main__":
    run(main)
