"""`uncrowd figure` refuses damaged logs in one sentence and overwrites no image."""

import json
from typing import Any

import pytest

AP = {"kind": "eval", "step": 2, "epoch": 1, "AP": 0.25}


@pytest.mark.parametrize(
    "row",
    [
        "[]",
        AP | {"AP": "high"},
        AP | {"AP": [0.25]},
        AP | {"AP": 10**400},
        AP | {"AP": float("nan")},
        AP | {"epoch": "first"},
        {key: value for key, value in AP.items() if key != "epoch"},
    ],
    ids=str,
)
def test_logged_rows_without_a_score_are_ignored(refused, tmp_path, row: Any):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text(row if isinstance(row, str) else json.dumps(row))
    said = refused("figure", "curves", tmp_path / "run", "--out", tmp_path / "c.png")
    assert "run has no scores in metrics.jsonl" in said


def test_no_image_of_the_dataset_is_overwritten(refused, shapes, run):
    found, image = run / "detections.json", shapes / "images" / "val2.png"
    before = image.read_bytes()
    argv = ("--data", shapes, "--images", 1, "--out", image)  # not even one that is not shown
    assert "would be overwritten" in refused("figure", "compare", found, found, *argv)
    assert image.read_bytes() == before


def test_names_with_line_breaks_are_written_on_one_line(uncrowd, shapes, run, tmp_path):
    found = run / "detections.json"
    argv = ("--data", shapes, "--out", tmp_path / "c.png", "--names", "one\ntwo", "three\n")
    assert uncrowd("figure", "compare", found, found, *argv).status == 0
