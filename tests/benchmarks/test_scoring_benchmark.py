"""The benchmark runs at toy size, computes the scores of the other implementations, and writes a line of JSON."""

import json
from pathlib import Path

import pytest
from benchmarks.scoring import main

TOY = ["--images", "3", "--coco-detections", "20", "--crowd-detections", "40", "--rounds", "2"]


def test_a_table_and_a_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "timings.jsonl"
    for seed in ("0", "1"):
        assert main([*TOY, "--twin-images", "2", "--seed", seed, "--append", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "60 detections, which score" in printed
    assert "as fast as pycocotools" in printed
    assert "120 detections, which score" in printed
    assert "on 2 of the 3 images" in printed
    assert "as fast as the plain twin" in printed
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [record["seed"] for record in records] == [0, 1]
    assert {"commit", "machine", "images", "coco_detections", "crowd_detections"} <= records[0].keys()
    assert {contest: set(seconds) for contest, seconds in records[0]["seconds"].items()} == {
        "coco": {"ours", "pycocotools"},
        "crowdhuman": {"reading", "AP, mMR, Recall", "JI"},
        "crowdhuman_twin": {"ours", "the plain twin"},
    }
    for seconds in records[0]["seconds"].values():
        assert all(len(times) == 2 and min(times) > 0 for times in seconds.values())


def test_one_protocol_and_the_twin_on_all_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TOY, "--protocols", "crowdhuman", "--twin-images", "5000"]) == 0
    printed = capsys.readouterr().out
    assert "on 3 of the 3 images" in printed
    assert "pycocotools" not in printed


def test_without_the_twin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TOY, "--protocols", "crowdhuman", "--twin-images", "0"]) == 0
    assert "twin" not in capsys.readouterr().out
