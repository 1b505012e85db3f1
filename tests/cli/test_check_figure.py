"""Images of each split with their boxes: which are shown, and where."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from uncrowd.cli.check_figure import draw_splits
from uncrowd.data.check.dataset import check_dataset
from uncrowd.data.images.read import read_image
from uncrowd.errors import InputError
from uncrowd.visualize.ground_truth import draw_ground_truth
from uncrowd.visualize.sheet import grid, in_column


def expected(data: Path, chosen: dict[str, list[str]]) -> np.ndarray:
    """The grid of these images, in the words of its parts."""
    splits = {dataset.split: dataset for dataset in check_dataset(data).scanned.splits.present}
    columns = {}
    for split, names in chosen.items():
        dataset = splits[split]
        samples = [dataset[dataset.file_names.tolist().index(name)] for name in names]
        resized = [(sample, *in_column(read_image(sample.path, sample.size))) for sample in samples]
        columns[split] = [
            draw_ground_truth(image, sample, dataset.categories, scale) for sample, image, scale in resized
        ]
    return grid(list(columns), list(zip(*columns.values(), strict=True)))


def test_three_images_of_each_split_are_spread_over_it(shapes: Path) -> None:
    drawn = draw_splits(check_dataset(shapes))
    names = {"train": ["train2.png", "train4.png", "train6.png"], "val": ["val1.png", "val2.png", "val3.png"]}
    np.testing.assert_array_equal(drawn, expected(shapes, names))


def test_unreadable_images_and_those_without_boxes_are_left_out(shapes: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(shapes, data)
    (data / "images" / "train2.png").write_bytes(b"no image")
    annotations = json.loads((data / "instances_train.json").read_text())
    annotations["annotations"] = [row for row in annotations["annotations"] if row["image_id"] in (2, 3, 4)]
    (data / "instances_train.json").write_text(json.dumps(annotations))
    (data / "instances_val.json").unlink()
    drawn = draw_splits(check_dataset(data))
    np.testing.assert_array_equal(drawn, expected(data, {"train": ["train3.png", "train4.png"]}))


def test_nothing_is_drawn_where_no_image_can_be_read(shapes: Path, tmp_path: Path) -> None:
    shutil.copy(shapes / "instances_val.json", tmp_path)
    assert draw_splits(check_dataset(tmp_path)) is None


def test_images_are_read_up_to_the_limit_of_the_check(shapes: Path) -> None:
    with pytest.raises(InputError, match="the image has more than 100 pixels"):
        draw_splits(check_dataset(shapes), max_pixels=100)
