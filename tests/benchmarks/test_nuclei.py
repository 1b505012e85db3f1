"""The images of the list, and no others, move from training to a test split, and boxes get their outlines."""

import gzip
import json
from pathlib import Path

import pytest
from benchmarks.claims.nuclei_images import TEST_NAMES
from benchmarks.nuclei import main
from PIL import Image

from tests.data.coco_files import annotation
from uncrowd.data.formats.open import open_dataset
from uncrowd.errors import InputError


def test_a_test_split_is_cut_from_the_training_images(tmp_path: Path) -> None:
    source, out = tmp_path / "nuclei", tmp_path / "split"
    listed = TEST_NAMES.read_text().split()[0]
    names = {1: "a.jpg", 2: listed, 3: "b.jpg"}
    images = [{"id": number, "file_name": name, "width": 64, "height": 48} for number, name in names.items()]
    boxes = [annotation(number, image, category_id=1) for number, image in enumerate((1, 2, 2, 3), start=1)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "nucleus"}]}
    (source / "images").mkdir(parents=True)
    for name in names.values():
        Image.new("RGB", (64, 48)).save(source / "images" / name)
    for split in ("train", "val"):
        (source / f"instances_{split}.json").write_text(json.dumps(content))
        masks = {str(box["id"]): {"size": [48, 64], "counts": [100, box["id"], 2972 - box["id"]]} for box in boxes}
        (source / f"masks_{split}.json.gz").write_bytes(gzip.compress(json.dumps(masks).encode()))
    assert main([str(source), str(out)]) == 0
    splits = open_dataset(out)
    assert splits.train is not None
    assert splits.test is not None
    assert splits.val is not None
    assert [Path(name).name for name in splits.train.file_names] == ["a.jpg", "b.jpg"]
    assert [Path(name).name for name in splits.test.file_names] == [listed]
    assert [len(split) for split in (splits.train, splits.val, splits.test)] == [2, 3, 1]
    assert [int(split.counts.sum()) for split in (splits.train, splits.val, splits.test)] == [2, 4, 2]
    written = json.loads((out / "instances_test.json").read_text())["annotations"]
    assert [each["segmentation"]["counts"][1] for each in written] == [2, 3], "each box has the outline of its nucleus"


def test_a_folder_without_nuclei_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read as nuclei with masks"):
        main([str(tmp_path), str(tmp_path / "split")])
