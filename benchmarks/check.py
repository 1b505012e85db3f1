"""The memory and the time that `uncrowd check` takes beyond its imports, on datasets drawn at random.

`python -m benchmarks.check` measures 10,000 boxes in one image, a million boxes in 100,000 images, and a file name of a
million characters among 2,000 images. Each is checked in a process of its own.
"""

import argparse
import contextlib
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmarks.memory import peak_on_host
from PIL import Image

from uncrowd.cli.check import main as check

SIDE = 64


def draw(folder: Path, *, images: int, boxes: int, longest_name: int = 0) -> Path:
    """Writes a COCO dataset with as many boxes in each image, all images different."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    pixels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    records = []
    for number in range(images):
        pixels[0, :4] = np.frombuffer(number.to_bytes(4, "big"), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06d}.png")
        records.append({"id": number, "file_name": f"{number:06d}.png", "width": SIDE, "height": SIDE})
    if longest_name:
        records[-1]["file_name"] = "x" * longest_name
    corners = rng.uniform(0, SIDE / 2, (images * boxes, 2))
    boxes_xywh = np.concatenate([corners, rng.uniform(5, SIDE / 2, corners.shape)], axis=1).round(2).tolist()
    annotations = [
        {"id": row, "image_id": row // boxes, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for row, box in enumerate(boxes_xywh)
    ]
    content = {"images": records, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (folder / "instances_train.json").write_text(json.dumps(content))
    return folder


def quietly(folder: Path) -> None:
    """Checks a dataset without its output."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        check([str(folder)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--divide-by", type=int, default=1, help="divides the numbers of images and boxes")
    less = parser.parse_args().divide_by
    cases = {
        "10,000 boxes in an image": {"images": 2, "boxes": 10_000 // less},
        "1,000,000 boxes in 100,000 images": {"images": 100_000 // less, "boxes": 10},
        "a name of 1,000,000 characters": {"images": 2_000 // less, "boxes": 1, "longest_name": 1_000_000},
    }
    for name, numbers in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            data = draw(Path(folder) / "data", **numbers)
            began = time.perf_counter()
            used = peak_on_host(quietly, data)
            seconds = time.perf_counter() - began
            print(f"{name}: {'?' if used is None else round(used / 1e6)} MB, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
