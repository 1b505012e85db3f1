"""The script of docs/deploy.md finds what the predictor finds."""

import re
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

import pytest
import torch
from PIL import Image
from scipy.optimize import linear_sum_assignment

import uncrowd
from tests.exported import Exported
from tests.inference.cases import random_image

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"


@pytest.mark.parametrize(("height", "width"), [(60, 90), (500, 120)])
def test_it_finds_what_the_predictor_finds(exported: Exported, tmp_path: Path, height: int, width: int) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (script,) = (block for block in blocks if "import onnxruntime" in block)
    assert "uncrowd" not in re.sub(r'"uncrowd\.detector"', "", script)
    (tmp_path / "detect.py").write_text(script.replace("score >= 0.3", "score >= 0"))
    Image.fromarray(random_image(height, width)).save(tmp_path / "image.png")
    command = [sys.executable, "detect.py", str(exported.onnx), "image.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = uncrowd.load(exported.onnx).predict(tmp_path / "image.png")
    lines = [re.fullmatch(r"(\w+) (\S+) (.*)", line) for line in done.stdout.splitlines()]
    found = [(match[1], float(match[2]), literal_eval(match[3])) for match in lines if match is not None]
    assert len(found) == len(lines) == len(expected) > 5
    names, scores, boxes = zip(*found, strict=True)
    assert sorted(names) == sorted(expected.names)
    # matched one to one, because two detections with nearly equal scores may change places
    pixels = (torch.tensor(boxes)[:, None] - expected.boxes).abs().amax(dim=-1)
    score = (torch.tensor(scores)[:, None] - expected.scores).abs()
    pairs = linear_sum_assignment(pixels + 1000 * score)
    assert (pixels[pairs] < 1).float().mean() > 0.8  # Pillow and torchvision round a few pixels differently
    assert score[pairs].max() < 2e-3
