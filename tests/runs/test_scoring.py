"""Training scores each dataset with the protocol of its format."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.odgt_files import line, person, write
from tests.tiny import tiny_experiment
from uncrowd import config
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.results.file import read_detections
from uncrowd.engine.metrics import read_metrics
from uncrowd.errors import InputError
from uncrowd.evaluation.counting import counting_errors
from uncrowd.evaluation.operating_points import best_thresholds
from uncrowd.inference.evaluate import evaluate
from uncrowd.inference.load import load
from uncrowd.inference.tiles import TilesConfig
from uncrowd.recipes import Experiment
from uncrowd.runs.run import Run, begin
from uncrowd.structures import ScoreProtocol
from uncrowd.weights.file import load_weights


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Returns a folder with CrowdHuman's files, 4 images to train on and 2 to score on."""
    for split, names in (("train", "abcd"), ("val", "ef")):
        boxes = [person(), person(fbox=[20, 5, 30, 40]), person(tag="mask", fbox=[0, 0, 9, 9])]
        write(tmp_path / f"annotation_{split}.odgt", [line(f"{name},1", boxes) for name in names])
    return tmp_path


def experiment(name: str = "tiny", protocol: ScoreProtocol | None = "crowdhuman") -> Experiment:
    return replace(tiny_experiment(epochs=1), name=name, protocol=protocol)


def test_a_run_on_crowdhuman_is_scored_as_crowdhuman_is(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its format chooses the protocol. The run has the name of the paper's, so it says what the paper expects."""
    folder = tmp_path / "run"
    run = Run(experiment=experiment("crowdhuman-r50-500", protocol=None), data=str(people), box="vbox")
    assert begin(run, folder, device="cpu").finished

    saved = config.load(Run, folder / "config.json")
    assert (saved.box, saved.experiment.protocol) == ("vbox", "crowdhuman")
    assert not list(folder.glob(".*")), "nothing half written stays"
    (row,) = [row for row in read_metrics(folder / "metrics.jsonl") if row["kind"] == "eval"]
    assert {"AP", "mMR", "Recall", "JI"} <= row.keys()
    assert "AP50" not in row
    found = json.loads((folder / "detections.json").read_text())
    assert {record["image_id"] for record in found} == {"e,1", "f,1"}
    page = (folder / "report.html").read_text()
    assert "AP 90.9, mMR 47.2, Recall 96.9 (Table 5: ours)" in page
    assert "AP50" not in page

    out = capsys.readouterr().out
    assert "expected by the paper (Table 5)    90.9    47.2    96.9\n" in out
    assert "the paper scores the 4370 images of CrowdHuman's validation set, this run 2 images\n" in out
    assert "the settings differ from the paper's: model.proposals is 10, not 500; " in out


def test_more_classes_than_one_are_refused_before_a_step(crowd: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="CrowdHuman's protocol scores one class, but the dataset has 3"):
        begin(Run(experiment=experiment(), data=str(crowd)), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_the_best_thresholds_are_kept_in_the_weights(
    crowd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are found on the detections of the last evaluation, which the run keeps as well."""
    run = Run(experiment=tiny_experiment(epochs=1), data=str(crowd))
    assert begin(run, tmp_path / "run", device="cpu").finished
    val = open_dataset(crowd).val
    assert val is not None
    found = read_detections(tmp_path / "run" / "detections.json", val.categories, val.ids.tolist())
    thresholds = best_thresholds(val, found, val.categories)
    assert load_weights(tmp_path / "run").thresholds == thresholds
    assert load_weights(tmp_path / "run" / "best.safetensors").thresholds == thresholds
    counts = [row["counted"] for row in read_metrics(tmp_path / "run" / "metrics.jsonl") if row["kind"] == "counts"]
    counted = thresholds and [counting_errors(val, found, val.categories, thresholds.count).overall.counted]
    assert counts == (counted or [])
    said = "score thresholds, chosen on val and kept in the weights: "
    assert (said in capsys.readouterr().out) == (thresholds is not None)


def test_what_learns_from_tiles_is_scored_in_tiles(crowd: Path, tmp_path: Path) -> None:
    """`eval` with the same tiles has the same scores, and the best thresholds are those of tiles."""
    experiment = tiny_experiment(epochs=1)
    experiment = replace(experiment, augment=replace(experiment.augment, tile=40))
    said: list[str] = []
    run = Run(experiment=experiment, data=str(crowd))
    assert begin(run, tmp_path / "run", device="cpu", say=said.append).finished
    assert "scored in tiles of 40 pixels, from which it learns; use the weights with --tiles 40 too" in said
    val = open_dataset(crowd).val
    assert val is not None
    (row,) = [row for row in read_metrics(tmp_path / "run" / "metrics.jsonl") if row["kind"] == "eval"]
    in_tiles = load(tmp_path / "run", "cpu", tiles=TilesConfig(side=40, overlap=8))
    assert row["AP"] == pytest.approx(evaluate(in_tiles, val).values["AP"], abs=1e-6)
    found = read_detections(tmp_path / "run" / "detections.json", val.categories, val.ids.tolist())
    assert max(map(len, found.values())) > experiment.model.proposals
    assert load_weights(tmp_path / "run").thresholds == best_thresholds(val, found, val.categories)
    assert "own validation split, in tiles of 40 pixels" in (tmp_path / "run" / "report.html").read_text()
