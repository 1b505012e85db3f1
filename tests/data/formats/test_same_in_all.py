"""A dataset is the same in every format: images, splits, boxes, classes, and the scores of the same detections."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.written import NAMES, Made, make, rounded, write_coco, write_voc, write_yolo
from uncrowd.data.check.dataset import check, scan
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.layout import find_layout
from uncrowd.data.formats.open import open_dataset
from uncrowd.inference.evaluate import evaluate
from uncrowd.structures import Detections

WRITERS = {"COCO JSON": write_coco, "YOLO": write_yolo, "Pascal VOC": write_voc}


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_images_boxes_and_classes_are_those_that_were_written(tmp_path_factory: pytest.TempPathFactory, seed: int):
    made = make(seed)
    for name, write in WRITERS.items():
        splits = open_dataset(write(tmp_path_factory.mktemp("set"), made))
        assert splits.format == name
        assert [dataset.split for dataset in splits.present] == ["train", "val"]
        for dataset in splits.present:
            require_equal(dataset, made)
            assert dataset.protocol == "coco"


def require_equal(dataset: DetectionDataset, made: list[Made], tolerance: float = 1e-9) -> None:
    images = {image.name: image for image in made if image.split == dataset.split}
    assert dataset.categories.names == NAMES
    assert [sample.path.stem for sample in dataset] == list(images)
    for sample in dataset:
        image = images[sample.path.stem]
        assert sample.size == image.size
        np.testing.assert_allclose(sample.boxes, image.boxes.reshape(-1, 4), atol=tolerance, rtol=0)
        assert sample.labels.tolist() == image.labels.tolist()
        assert not sample.ignore.any()
        sides = sample.boxes[:, 2:] - sample.boxes[:, :2]
        np.testing.assert_allclose(sample.areas, sides.prod(axis=1), rtol=1e-6)


def test_voc_s_whole_pixels_lose_at_most_half_a_pixel(tmp_path: Path) -> None:
    made = make(0)
    datasets = open_dataset(write_voc(tmp_path, rounded(made))).present
    assert [dataset.split for dataset in datasets] == ["train", "val"]
    for dataset in datasets:
        require_equal(dataset, made, tolerance=0.5)


def test_the_same_detections_get_the_same_scores(tmp_path: Path) -> None:
    made = make(1, images=10, whole=True)
    scores = []
    for name, write in WRITERS.items():
        dataset = open_dataset(write(tmp_path / name, made)).val
        assert dataset is not None
        scores.append(evaluate(found_in(dataset), dataset).values)
    assert scores[0]["AP"] not in (None, 0, 1)
    for other in scores[1:]:
        assert other == pytest.approx(scores[0], abs=1e-6)


def found_in(dataset: DetectionDataset) -> dict[int | str, Detections]:
    """Moved boxes, some with another class; they depend on the name of the image alone."""
    found: dict[int | str, Detections] = {}
    for sample in dataset:
        rng = np.random.default_rng([*sample.path.stem.encode()])
        moved = sample.boxes + rng.normal(0, 2, sample.boxes.shape)
        labels = np.where(rng.random(len(moved)) < 0.2, rng.integers(len(NAMES), size=len(moved)), sample.labels)
        found[sample.id] = Detections(
            boxes=torch.from_numpy(moved),
            scores=torch.from_numpy(np.sort(rng.random(len(moved)))[::-1].copy()),
            labels=torch.from_numpy(labels),
            categories=dataset.categories,
        )
    return found


@pytest.mark.parametrize("name", WRITERS)
def test_check_finds_nothing_wrong_with_a_clean_dataset(tmp_path: Path, name: str) -> None:
    checked = check(scan(find_layout(WRITERS[name](tmp_path, make(2)))))
    assert {finding.kind for finding in checked.findings} <= {"crowding", "image without boxes", "tiny box"}
    assert checked.training is not None
