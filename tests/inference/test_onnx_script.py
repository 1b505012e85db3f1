"""The script of docs/deploy.md finds what the predictor finds."""

import json
from itertools import pairwise
from pathlib import Path

import onnx
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
    image, turned = tmp_path / "image.png", Image.Exif()
    turned[0x0112] = 6  # by a quarter
    Image.fromarray(random_image(height, width)).save(image, exif=turned)
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


def test_it_takes_the_thresholds_of_the_file(exported: Exported, tmp_path: Path) -> None:
    image, file = tmp_path / "image.png", tmp_path / "chosen.onnx"
    Image.fromarray(random_image(60, 90)).save(image)
    found = run_script(exported.onnx, image, tmp_path)
    scores = sorted(each.score for each in found)
    threshold = max((above - below, (above + below) / 2) for below, above in pairwise(scores))[1]  # the widest gap
    model = onnx.load(exported.onnx)
    (entry,) = (each for each in model.metadata_props if each.key == "uncrowd.detector")
    about = json.loads(entry.value)
    about["thresholds"]["f1"] = dict.fromkeys(exported.categories.names, threshold)
    entry.value = json.dumps(about)
    onnx.save(model, file)
    kept = [each for each in found if each.score >= threshold]
    assert 0 < len(kept) < len(found)
    assert run_script(file, image, tmp_path, everything=False) == kept
