"""Cuts the test split of the nuclei from their training images: `python -m benchmarks.nuclei nuclei nuclei-split`.

The first folder is a dataset in COCO's layout with the splits train and val; the second one is made, with the splits
train, val and test and a link to the images. The images of `benchmarks/claims/nuclei_test.txt` go to the test split.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from benchmarks.claims.nuclei import names_of_test
from benchmarks.command import run
from tyro.conf import Positional, arg

from uncrowd.cli.flags import parse
from uncrowd.errors import InputError


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
    whole = arguments.source / "instances_train.json"
    if not whole.is_file():
        raise InputError(f"{whole} does not exist; give the folder of the nuclei.")
    arguments.out.mkdir(parents=True)
    (arguments.out / "images").symlink_to((arguments.source / "images").resolve(), target_is_directory=True)
    shutil.copyfile(arguments.source / "instances_val.json", arguments.out / "instances_val.json")
    content, chosen = json.loads(whole.read_text()), names_of_test()
    for split in ("train", "test"):
        images = [image for image in content["images"] if (image["file_name"] in chosen) == (split == "test")]
        (arguments.out / f"instances_{split}.json").write_text(json.dumps(_of(content, images)))
        print(f"{split}: {len(images)} images")
    return 0


def _of(content: dict[str, Any], images: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the content of an annotation file with these images and their boxes alone."""
    ids = {image["id"] for image in images}
    boxes = [box for box in content["annotations"] if box["image_id"] in ids]
    return content | {"images": images, "annotations": boxes}


if __name__ == "__main__":
    run(main)
