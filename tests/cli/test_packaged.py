"""Each verb takes a detector that comes with the package by its name, and lists those that there are."""

import json
import shutil

import pytest

from tests.cli.small import ONE_EPOCH
from uncrowd.runs.run import saved_run
from uncrowd.weights import packaged


@pytest.fixture
def detector(weights, tmp_path, monkeypatch):
    """The weights of the run, packaged under the name "shapes"; commands are run in an empty folder."""
    (tmp_path / "detectors").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(packaged, "FOLDER", tmp_path / "detectors")
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "detectors" / "shapes.md").write_text("---\nlicense: mit\n---\n# Shapes\n")
    return shutil.copy(weights, tmp_path / "detectors" / "shapes.safetensors")


def test_info_lists_and_shows_it(uncrowd, detector, monkeypatch):
    monkeypatch.setattr("uncrowd.cli.info._list_experiments", lambda: None)
    listed = uncrowd("info").out
    assert "shapes   dark, bright   2." in listed
    assert uncrowd("info", "shapes").out == "# Shapes\n"
    of_file = uncrowd("info", detector).out
    assert json.loads(of_file)["categories"] == {"3": "dark", "17": "bright"}
    card = packaged.FOLDER / "shapes.md"
    card.write_text("# No metadata\n")
    assert uncrowd("info", "shapes").out == "# No metadata\n"
    card.unlink()
    assert uncrowd("info", "shapes").out == of_file


def test_predict_and_eval_give_what_its_file_gives(uncrowd, detector, shapes, tmp_path):
    for what, out in (("shapes", "by_name"), (detector, "by_file")):
        assert uncrowd("predict", what, shapes / "images", "--out", out, "--json-only").status == 0
    by_name, by_file = (tmp_path / "here" / out / "detections.json" for out in ("by_name", "by_file"))
    assert by_name.read_bytes() == by_file.read_bytes()
    scores = [uncrowd("eval", what, "--data", shapes, "--json", "--workers", 0) for what in ("shapes", detector)]
    assert scores[0].out.startswith("{")
    assert scores[0] == scores[1]


def test_training_starts_from_it(uncrowd, detector, shapes, tmp_path):
    said = uncrowd("train", "--data", shapes, "--start-from", "shapes", "--out", "run", *ONE_EPOCH)
    assert said.status == 0, said.err
    assert f"all weights from {detector}" in said.out
    assert saved_run(tmp_path / "here" / "run").start_from == str(detector)


def test_push_takes_it_with_its_own_card(uncrowd, refused, detector, tmp_path):
    said = uncrowd("push", "shapes", "me/shapes", "--write-card", "card.md")
    assert said.status == 0, said.err
    assert (tmp_path / "here" / "card.md").read_text() == detector.with_suffix(".md").read_text()
    licensed = refused("push", "shapes", "me/shapes", "--license", "mit")
    assert "The card of shapes names its license already; leave the license out." in licensed


def test_a_file_or_folder_is_preferred_to_a_name(refused, detector, tmp_path):
    (tmp_path / "here" / "shapes").mkdir()
    assert "shapes holds no weights.safetensors: no run was finished there" in refused("info", "shapes")


def test_an_unknown_name_lists_the_names(refused, uncrowd, detector, shapes):
    listed = "these detectors come with uncrowd: shapes."
    assert f"or the folder of a run; {listed}" in refused("predict", "shape", shapes / "images")
    assert f"or detections; {listed}" in refused("eval", "shape", "--data", shapes)
    assert "the nearest is shapes." in refused("info", "shape")
    assert "come with uncrowd" not in uncrowd("info", "shapes").out
