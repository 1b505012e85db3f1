"""The script of docs/deploy.md finds what the predictor finds."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from scipy.optimize import linear_sum_assignment

import uncrowd
from tests.exported import Exported
from tests.inference.cases import random_image
from tests.inference.onnx_script import run_script


@pytest.mark.parametrize(("height", "width"), [(60, 90), (500, 120)])
def test_it_finds_what_the_predictor_finds(exported: Exported, tmp_path: Path, height: int, width: int) -> None:
    image = tmp_path / "image.png"
    Image.fromarray(random_image(height, width)).save(image)
    found, expected = run_script(exported.onnx, image, tmp_path), uncrowd.load(exported.onnx).predict(image)
    assert len(found) == len(expected) > 5
    names, scores, boxes = zip(*found, strict=True)
    assert sorted(names) == sorted(expected.names)
    # matched one to one, because two detections with nearly equal scores may change places
    pixels = (torch.tensor(boxes)[:, None] - expected.boxes).abs().amax(dim=-1)
    score = (torch.tensor(scores)[:, None] - expected.scores).abs()
    pairs = linear_sum_assignment(pixels + 1000 * score)
    assert (pixels[pairs] < 1).float().mean() > 0.8  # Pillow and torchvision round a few pixels differently
    assert score[pairs].max() < 2e-3
