"""`uncrowd eval --errors` says what goes wrong, and `uncrowd eval A B` which of two is better."""

import json
from pathlib import Path

import pytest

CROWDS = Path(__file__).parents[1] / "fixtures" / "crowdhuman_eval"


@pytest.fixture
def found(shapes: Path, tmp_path: Path) -> dict[str, Path]:
    """Two files of detections: the ground truth itself, and the same boxes moved by half of their width."""
    records = json.loads((shapes / "instances_val.json").read_text())["annotations"]
    files = {"good": tmp_path / "good.json", "moved": tmp_path / "moved.json"}
    for name, file in files.items():
        detections = [
            {"image_id": r["image_id"], "category_id": r["category_id"], "bbox": list(r["bbox"]), "score": 0.9}
            for r in records
        ]
        if name == "moved":
            for each in detections:
                each["bbox"][0] += each["bbox"][2] / 2
        file.write_text(json.dumps(detections))
    return files


def test_errors_are_printed_below_the_scores(uncrowd, shapes, found):
    said = uncrowd("eval", found["moved"], "--data", shapes, "--errors")
    assert (said.status, said.err) == (0, "")
    assert "COCO protocol:" in said.out
    assert "What goes wrong at IoU 0.5 and a score of at least 0.5:" in said.out
    badly_placed = next(line for line in said.out.splitlines() if line.startswith("badly placed"))
    assert badly_placed.split()[2] == "6"


def test_json_has_all_of_the_errors(uncrowd, shapes, found):
    argv = ("eval", found["moved"], "--data", shapes, "--json")
    plain, full = (json.loads(uncrowd(*argv, *flags).out) for flags in ([], ["--errors"]))
    errors = full.pop("errors")
    assert full == plain
    assert errors["kinds"]["badly placed"]["number"] == 6
    assert set(errors) == {
        "threshold",
        "AP50",
        "kinds",
        "crowding",
        "sizes",
        "confusion",
        "calibration",
        "precision_by_recall",
    }


def test_two_files_are_compared(uncrowd, shapes, found):
    said = uncrowd("eval", found["good"], found["moved"], "--data", shapes)
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(f"A: {found['good']}\nB: {found['moved']}\non the 3 images of ")
    assert said.out.splitlines()[-1].startswith(
        "A is better than B, which is not luck of the images: AP is 100.0 against 0.0, a difference of +100.0 (95 % "
    )


def test_a_run_is_compared_with_its_own_detections(uncrowd, shapes, run):
    flags = ("--data", shapes, "--workers", 0, "--batch-size", 2, "--device", "cpu", "--json")
    said = json.loads(uncrowd("eval", run, run / "detections.json", *flags).out)
    assert said["better"] is None
    assert said["scores"]["AP"]["difference"] == 0
    assert said["scores"]["AP"]["a_better"] == 0.5
    assert (said["images"], said["resamples"]) == (3, 1000)
    assert said["answer"].startswith("A and B score the same: AP is ")


@pytest.mark.parametrize("flags", [["--out", "both.json"], ["--errors"], ["--max-dets", 1, 10], ["--threshold", 0.5]])
def test_what_is_for_one_detector_is_refused_for_two(refused, shapes, found, flags):
    sentence = refused("eval", found["good"], found["moved"], "--data", shapes, *flags)
    assert f"{flags[0]} is for one detector, but two are compared; leave {flags[0]} out" in sentence


def test_a_second_one_that_does_not_exist_is_named(refused, shapes, found, tmp_path):
    assert "nothing.json does not exist" in refused("eval", found["good"], tmp_path / "nothing.json", "--data", shapes)


def test_crowds_are_compared_by_their_own_scores(uncrowd):
    data, found = CROWDS / "gt.odgt", CROWDS / "detections.odgt"
    said = json.loads(uncrowd("eval", found, found, "--data", data, "--json").out)
    expected = json.loads((CROWDS / "expected.json").read_text())
    assert list(said["scores"]) == ["AP", "mMR", "JI", "counting error"]
    for name in ("AP", "mMR", "JI"):
        assert said["scores"][name]["a"] == pytest.approx(expected[name], abs=1e-9)
    assert said["better"] is None


def test_crowds_have_errors_of_one_class(uncrowd):
    data, found = CROWDS / "gt.odgt", CROWDS / "detections.odgt"
    said = json.loads(uncrowd("eval", found, "--data", data, "--errors", "--json").out)
    assert list(said["errors"]["kinds"]) == ["missed", "badly placed", "duplicated", "background"]
    crowding = said["errors"]["crowding"].values()
    assert sum(each["objects"] for each in crowding) == sum(
        each["objects"] for each in said["errors"]["sizes"].values()
    )
