"""`uncrowd export` writes a detector that serves in place of its weights, and refuses unusable paths at once."""

import json
import re

import numpy as np
import pytest


def test_it_prints_parameters_size_and_the_comparison_with_torch(exported):
    lines = exported.said.splitlines()
    parameters = sum(parameter.numel() for parameter in exported.model.parameters())
    assert lines[0].startswith(f"exporting {exported.weights}: {parameters:,} parameters, 2 classes; ")
    assert lines[1] == f"written to {exported.onnx}, {exported.onnx.stat().st_size / 1e6:.1f} MB"
    assert lines[2] == "checked on 5 synthetic images against the model in double precision:"
    for line, name in zip(lines[3:5], ("ONNX Runtime", "torch"), strict=True):
        assert re.fullmatch(
            rf"  {name} +90% of detections within 0\.\d+ pixels and \d+e-0\d, all within .* and .*", line
        )
    assert lines[-2:] == [f"  uncrowd predict {exported.onnx} IMAGES", f"  uncrowd eval {exported.onnx} --data DATA"]
    assert [file.name for file in exported.onnx.parent.iterdir()] == [exported.onnx.name]


def test_predict_finds_the_same_with_the_exported_detector(uncrowd, exported, shapes, tmp_path):
    records = []
    for file in (exported.onnx, exported.weights):
        flags = ("--threshold", 0, "--json-only", "--device", "cpu", "--out", tmp_path / file.suffix)
        assert uncrowd("predict", file, shapes / "images", *flags).status == 0
        records.append(json.loads((tmp_path / file.suffix / "detections.json").read_text()))
    for ours, theirs in zip(*records, strict=True):
        assert ours["image"] == theirs["image"]
        assert len(ours["detections"]) > 3
        boxes, expected = ([found["box_xyxy"] for found in record["detections"]] for record in (ours, theirs))
        np.testing.assert_allclose(boxes, expected, atol=0.05)
        assert {found["category_id"] for found in ours["detections"]} <= {3, 17}


def test_eval_and_info_give_the_same_for_the_exported_detector(uncrowd, exported, shapes):
    flags = ("--data", shapes, "--json", "--device", "cpu")
    ours, theirs = (json.loads(uncrowd("eval", file, *flags).out) for file in (exported.onnx, exported.weights))
    assert ours["AP"] == pytest.approx(theirs["AP"], abs=1e-3)
    held = json.loads(uncrowd("info", exported.onnx).out)
    assert held == json.loads(uncrowd("info", exported.weights).out)
    assert held["thresholds"]["f1"] == {"dark": 0.4, "bright": 0.25}


def test_verbs_that_need_weights_refuse_an_exported_detector(refused, exported, shapes, tmp_path):
    said = refused("figure", "masks", exported.onnx, shapes / "images/val1.png", "--out", tmp_path / "masks.png")
    assert "detector.onnx gives no access to intermediate results; give the weights that it was exported from" in said
    assert "is an exported detector, which can only run inference" in refused(
        "export", exported.onnx, tmp_path / "again.onnx"
    )


def test_unusable_paths_are_refused(refused, exported, tmp_path):
    assert "end its name in .onnx" in refused("export", exported.weights, tmp_path / "detector.pt")
    assert "does not exist" in refused("export", tmp_path / "nothing.safetensors", tmp_path / "a.onnx")
    assert "no run was finished there" in refused("export", tmp_path, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_and_a_page_are_not_both_written(refused, exported, tmp_path):
    for destinations in ([], [tmp_path / "a.onnx", "--page", tmp_path / "page"]):
        said = refused("export", exported.weights, *destinations)
        assert "Give either the file to write, DST, or a folder for a page, --page FOLDER." in said
    (tmp_path / "runtime.tgz").write_bytes(b"")
    said = refused("export", exported.onnx, "--page", tmp_path / "page", "--runtime", tmp_path / "runtime.tgz")
    assert "runtime.tgz is not onnxruntime-web@" in said
    assert [file.name for file in tmp_path.iterdir()] == ["runtime.tgz"]


@pytest.mark.parametrize(
    ("destination", "flags", "said"),
    [
        (["--page", "page"], ["--half"], "--half has no effect on a page"),
        (["--page", "page"], ["--images", 5], "--images has no effect on a page"),
        (["a.onnx"], ["--runtime", "runtime.tgz"], "--runtime has no effect on an .onnx or .xml file"),
        (["a.onnx"], ["--data", "data"], "--data has no effect on an .onnx or .xml file without --int8"),
        (["a.safetensors"], ["--int8", "--data", "data"], "--int8 has no effect on a weights file"),
        (["a.safetensors"], ["--opset", 18], "--opset has no effect on a weights file"),
    ],
)
def test_a_flag_without_effect_is_refused(refused, tmp_path, destination, flags, said):
    assert f"{said}; leave it out." in refused("export", tmp_path / "weights.safetensors", *destination, *flags)


@pytest.mark.parametrize("destination", [["a.onnx"], ["a.xml", "--int8"]])
def test_scores_of_duplicates_are_lowered_in_the_weights_first(refused, tmp_path, destination):
    said = refused("export", tmp_path / "weights.safetensors", *destination, "--lower-duplicates", 3)
    assert "--lower-duplicates has no effect on an .onnx or .xml file; first export WEIGHTS to a .safetensors" in said


def test_a_path_that_cannot_be_written_is_refused_at_once(uncrowd, exported, tmp_path, monkeypatch):
    def too_late(*_, **__):
        raise AssertionError("after minutes")

    monkeypatch.setattr("uncrowd.inference.export.to_onnx", too_late)
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "file").write_text("")
    for place, reason in {"folder.onnx": "it is a folder", "file/a.onnx": "File exists"}.items():
        said = uncrowd("export", exported.weights, tmp_path / place)
        assert said.status == 2
        assert f"{tmp_path / place} cannot be written: {reason}" in said.err
        assert said.err.count("\n") == 1
