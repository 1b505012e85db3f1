"""Quantization needs images. What it makes of a detector is tested in tests/cli/test_export_formats.py."""

from pathlib import Path

import pytest

from tests.data.coco_files import write
from tests.exported import Exported
from uncrowd.data.formats.coco import read_coco
from uncrowd.errors import InputError
from uncrowd.inference.int8 import to_int8
from uncrowd.inference.onnx_detector import OnnxDetector


def test_a_dataset_without_an_image_that_can_be_read_is_refused(exported: Exported, tmp_path: Path) -> None:
    annotations = write(tmp_path / "train.json")
    for image in tmp_path.glob("*.png"):
        image.write_text("no image")
    detector, destination = OnnxDetector.load(exported.onnx, "cpu"), tmp_path / "int8.onnx"
    with pytest.raises(InputError, match=r"train\.json: none of the images to calibrate with can be read; run"):
        to_int8(detector, destination, read_coco(annotations), images=2)
    assert not destination.exists()
