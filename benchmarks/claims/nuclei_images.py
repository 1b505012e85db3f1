"""The nuclei as they are, with a test split and outlines.

The source is a dataset in COCO's layout with a mask for each nucleus: `instances_SPLIT.json`, `images/` and
`masks_SPLIT.json.gz`, which maps the id of an annotation to a run-length encoding. It has no test split, so the images
of `nuclei_test.txt` are left out of training. They were drawn once:
`np.random.default_rng(0).choice(names, 135, replace=False)` of the sorted names of the training images.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.claims.datasets import made_once, require_real

from uncrowd.errors import InputError

TEST_NAMES = Path(__file__).with_name("nuclei_test.txt")


@dataclass(frozen=True, kw_only=True)
class NucleiImages:
    """Images of nuclei, most of them 256 pixels high; up to 375 nuclei in one, more than `most` in one of 74."""

    name: str = "nuclei"
    train: int = 400
    most: int = 200
    short_side: int = 256

    def write(self, parent: Path, real: Path | None = None) -> Path:
        """Returns the folder of the dataset below `parent`, and makes it if it is not there.

        real: the folder that has the source as `nuclei`. Raises InputError if it is None or the source is not there.
        """
        source = require_real(real, "nuclei")
        return made_once(parent / self.name, lambda folder: cut_test_split(source, folder))


def names_of_test() -> set[str]:
    """Returns the file names of the training images that make up the test split."""
    return set(TEST_NAMES.read_text(encoding="utf-8").split())


def read_masks(source: Path, split: str) -> dict[str, Any]:
    """Returns the run-length encoding of each nucleus of train or val, by the id of its annotation."""
    masks: dict[str, Any] = json.loads(gzip.decompress((source / f"masks_{split}.json.gz").read_bytes()))
    return masks


def cut_test_split(source: Path, out: Path) -> dict[str, int]:
    """Writes the splits train, val and test with outlines, and a link to the images; returns the images of each.

    Raises InputError if the source cannot be read as nuclei with masks.
    """
    try:
        train, val = (_with_outlines(source, split) for split in ("train", "val"))
    except OSError as error:
        raise InputError(f"{source} cannot be read as nuclei with masks: {error}.") from error
    of_test = names_of_test()
    kept = [image for image in train["images"] if image["file_name"] not in of_test]
    cut = [image for image in train["images"] if image["file_name"] in of_test]
    out.mkdir(parents=True)
    (out / "images").symlink_to((source / "images").resolve(), target_is_directory=True)
    splits = {"train": _of(train, kept), "val": val, "test": _of(train, cut)}
    for split, content in splits.items():
        (out / f"instances_{split}.json").write_text(json.dumps(content), encoding="utf-8")
    return {split: len(content["images"]) for split, content in splits.items()}


def _with_outlines(source: Path, split: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((source / f"instances_{split}.json").read_text(encoding="utf-8"))
    masks = read_masks(source, split)
    boxes = [box | {"segmentation": masks[str(box["id"])]} for box in content["annotations"]]
    return content | {"annotations": boxes}


def _of(content: dict[str, Any], images: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the content of an annotation file with these images and their boxes alone."""
    ids = {image["id"] for image in images}
    boxes = [box for box in content["annotations"] if box["image_id"] in ids]
    return content | {"images": images, "annotations": boxes}
