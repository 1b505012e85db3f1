"""Checks detections in a file against the dataset that they belong to."""

from collections.abc import Mapping

import numpy as np
import torch

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.convention import judge_convention
from uncrowd.data.problems import Finding, Problems
from uncrowd.structures import Detections, ImageId


def check_detections(detections: Mapping[ImageId, Detections], dataset: DetectionDataset) -> list[Finding]:
    """Returns a finding if the boxes seem to be written in another convention; detections: of every image, by id."""
    found = [detections[id] for id in dataset.ids.tolist()]
    images = np.repeat(np.arange(len(dataset)), [len(of_image) for of_image in found])
    boxes = torch.cat([torch.zeros(0, 4, dtype=torch.float64), *(of_image.boxes.double() for of_image in found)])
    problems = Problems()
    judge_convention(boxes.numpy(), images, dataset, problems)
    return problems.findings()
