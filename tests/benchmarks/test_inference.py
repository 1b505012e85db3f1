"""The benchmark runs at toy size, and compares every detector with the reference in every round."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.inference import main
from benchmarks.peers import FASTER_RCNN


def test_a_table_and_a_line_of_json(tmp_path: Path) -> None:
    """Compiling is left out, because it takes minutes. A process of its own, because shape checks break an export.

    32 divides only one side of the images, as in the paper.
    """
    file = tmp_path / "timings.jsonl"
    flags = ["--height", "128", "--width", "150", "--rounds", "1", "--backbone", "resnet10t", "--stages", "1"]
    flags += ["--proposals", "10", "--ways", "eager", "onnx", "plain", "--heads"]
    command = [sys.executable, "-m", "benchmarks.inference", *flags, "--append", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = done.stdout
    assert FASTER_RCNN in printed
    assert "1.00 times (1.00 to 1.00)" in printed
    assert "stages alone, 10 proposals" in printed
    (record,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert {"commit", "machine", "height", "width", "threads"} <= record.keys()
    assert all(len(seconds) == 1 and min(seconds) > 0 for seconds in record["seconds"].values())
    ours = {f"ours, 10 proposals{way}" for way in ("", ", ONNX Runtime", ", plain twin")}
    peers = {"DETR R50 (transformers)", "Deformable DETR R50 (transformers)", "RT-DETR R50 (transformers)", FASTER_RCNN}
    assert ours | peers | {"DETR, ours", "Sparse R-CNN, 10 proposals"} <= record["seconds"].keys()
    assert record["heads"].keys() == {"10"}


def test_several_images_in_bf16_beside_torchvision_alone(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--height", "64", "--width", "64", "--rounds", "1", "--backbone", "resnet10t", "--stages", "1"]
    assert main([*flags, "--proposals", "10", "--batch", "2", "--bf16", "--torchvision-only"]) == 0
    printed = capsys.readouterr().out
    assert "batches of 2 of 64 x 64, bf16" in printed
    assert "transformers" not in printed
