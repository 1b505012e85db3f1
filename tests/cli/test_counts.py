"""What `uncrowd predict` reports and counts: which classes, above which scores."""

import csv
import json
from pathlib import Path

import numpy as np

from uncrowd.cli.thresholds import DIFFER
from uncrowd.inference.load import load
from uncrowd.thresholds import ScoreThresholds
from uncrowd.weights.file import load_weights, save_weights


def test_detections_below_the_threshold_are_left_out(uncrowd, weights, shapes, tmp_path):
    said = uncrowd("predict", weights, shapes / "images", "--out", tmp_path, "--threshold", 1)
    assert said.status == 0
    assert "0 objects with a score of 1 or more in 9 images" in said.out


def test_objects_are_counted_by_image_and_class(uncrowd, predict, shapes, tmp_path):
    said, records = predict(shapes / "images", flags=["--batch-size", 4])
    with (tmp_path / "out/counts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, record in zip(rows, records, strict=True):
        names = [found["class"] for found in record["detections"]]
        assert row == {"image": record["image"], **{n: str(names.count(n)) for n in ("dark", "bright")}}
    heading, first, *_ = said.out.splitlines()
    assert heading == "counts of objects with a score of 0 or more:"
    assert first == f"  train1.png: {counted_in(rows[0])}"
    total = {name: sum(int(row[name]) for row in rows) for name in ("dark", "bright")}
    assert f"  all 9: {counted_in(total)}\n" in said.out


def counted_in(row) -> str:
    return ", ".join(f"{name} {row[name]}" for name in ("dark", "bright") if int(row[name])) or "nothing"


def test_the_thresholds_of_the_weights_are_used_and_said(uncrowd, weights, shapes, tmp_path):
    """Detections have the one for F1, counts the one for counts; a given threshold serves for both."""
    model, categories, preprocessing, _ = load_weights(weights)
    found = load(weights, "cpu").predict(shapes / "images/val1.png")
    low, high = (float(found.scores[rank]) for rank in (6, 2))
    best = ScoreThresholds(f1={"dark": high, "bright": high}, count={"dark": low, "bright": low})
    save_weights(tmp_path / "chosen.safetensors", model, categories, preprocessing, best)
    argv = ("predict", tmp_path / "chosen.safetensors", shapes / "images/val1.png", "--device", "cpu")
    said = uncrowd(*argv, "--out", tmp_path / "a")
    assert f"score of {low:g} or more (best counts on validation data):" in said.out
    assert said.out.endswith(f"{DIFFER}\n")
    assert f"3 objects with a score of {high:g} or more (best F1 on validation data) in 1 image; " in said.out
    assert counts(tmp_path / "a") == 7
    said = uncrowd(*argv, "--out", tmp_path / "b", "--threshold", low)
    assert "validation" not in said.out
    assert (counts(tmp_path / "b"), len(detections(tmp_path / "b"))) == (7, 7)
    assert DIFFER not in said.out
    uncrowd(*argv, "--out", tmp_path / "c", "--threshold", "dark=1")
    assert {each["class"] for each in detections(tmp_path / "c")} <= {"bright"}
    bright = [name == "bright" for name in found.names]
    assert len(detections(tmp_path / "c")) == sum(bright[:3])


def test_only_some_classes_are_reported(predict, shapes, tmp_path):
    _, records = predict(shapes / "images", flags=["--only", "bright", "--format", "odgt", "csv"])
    assert {found["class"] for record in records for found in record["detections"]} == {"bright"}
    assert (tmp_path / "out/counts.csv").read_text().startswith("image,bright\n")
    assert len((tmp_path / "out/detections.odgt").read_text().splitlines()) == 9


def test_images_with_as_many_objects_as_can_be_reported_are_noted_once(uncrowd, weights, shapes, tmp_path):
    argv = ("predict", weights, shapes / "images", "--json-only", "--device", "cpu")
    note = "the detector reports at most 10 objects in an image, so more may be there"
    full = uncrowd(*argv, "--out", tmp_path / "a", "--threshold", 1e-6).err
    assert full.startswith(f"note: {shapes / 'images/train1.png'}: {note}")
    assert full.endswith("; full, too: 8 other images\n")
    assert full.count("\n") == 1
    for threshold in (0, 1):  # all are asked for, and none is found
        assert uncrowd(*argv, "--out", tmp_path / str(threshold), "--threshold", threshold).err == ""


def test_a_threshold_for_a_class_that_is_left_out_is_refused(refused, weights, shapes):
    flags = ("--only", "bright", "--threshold", "bright=0.2", "dark=0.4")
    said = refused("predict", weights, shapes / "images/val1.png", *flags)
    assert "--threshold names dark, which --only leaves out; name it in both or in none." in said


def test_one_label_reports_each_box_once(predict, weights, shapes):
    _, (record,) = predict(shapes / "images/val1.png", flags=["--one-label"])
    expected = load(weights, "cpu", one_label=True).predict(shapes / "images/val1.png")
    np.testing.assert_allclose([each["score"] for each in record["detections"]], expected.scores, atol=1e-4)
    np.testing.assert_allclose([each["box_xyxy"] for each in record["detections"]], expected.boxes, atol=0.01)
    assert len({tuple(box) for box in expected.boxes.tolist()}) == len(expected) == 10  # all queries, each once


def test_images_may_follow_the_threshold(uncrowd, refused, weights, shapes, tmp_path):
    image = shapes / "images/val1.png"
    said = uncrowd("predict", weights, "--threshold", '"dark"=0.4', image, "--out", tmp_path, "--device", "cpu")
    assert (said.status, said.err) == (0, "")
    missing = refused("predict", weights, "--threshold", 0.1, tmp_path / "missing.png")
    assert "missing.png does not exist; put the image there or correct its name" in missing
    forgotten = refused("predict", weights, "--threshold", image)
    assert f"--threshold is followed by {image}, not by a number; write --threshold 0.4 {image}" in forgotten


def counts(folder: Path) -> int:
    return sum(map(int, (folder / "counts.csv").read_text().splitlines()[1].split(",")[1:]))


def detections(folder: Path) -> list[dict]:
    return json.loads((folder / "detections.json").read_text())[0]["detections"]
