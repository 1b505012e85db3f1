"""Detections in another convention than the ground truth's are found before they are scored."""

import numpy as np
import torch

from tests.data.coco_files import annotation, content, write
from uncrowd.data.check.detections import check_detections
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.structures import Detections


def of_image(boxes_xywh: np.ndarray, dataset: DetectionDataset) -> Detections:
    """Detections as they are read from a file, whose boxes are taken for [x, y, width, height]."""
    boxes = torch.from_numpy(np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1))
    count = len(boxes)
    labels = torch.zeros(count, dtype=torch.int64)
    return Detections(boxes=boxes, scores=torch.ones(count), labels=labels, categories=dataset.categories)


def test_each_convention_is_told(tmp_path):
    dataset = open_dataset(write(tmp_path / "a.json", content(annotations=[annotation(1, 1)]))).present[0]
    rng = np.random.default_rng(0)
    low = rng.uniform((0, 0), (40, 24), (50, 2))
    size = rng.uniform(5, 18, (50, 2))
    nothing = of_image(np.zeros((0, 4)), dataset)
    for boxes, kind in (
        (np.concatenate([low, size], axis=1), None),
        (np.concatenate([low + 6, low + 6 + size], axis=1), "boxes as corners"),
        (np.concatenate([low / 64, size / 64], axis=1), "boxes as fractions"),
    ):
        findings = check_detections({1: nothing, 2: of_image(boxes, dataset)}, dataset)
        assert [finding.kind for finding in findings] == ([] if kind is None else [kind])
    assert check_detections({1: nothing, 2: nothing}, dataset) == []
