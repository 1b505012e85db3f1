"""What a run held out of its data is found again, to the image, and of no other data."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from tests.tiny import SCENES, tiny_experiment
from uncrowd.cli import main
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.splits import hold_out
from uncrowd.data.synthetic.scenes import write_dataset
from uncrowd.engine.checkpoint import HEADER, facts_of
from uncrowd.runs.held_out import held_out
from uncrowd.runs.run import Run, begin


@pytest.fixture(scope="module")
def only_train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("only")
    write_dataset(folder, "train", SCENES, images=16, seed=0)
    return folder


@pytest.fixture(scope="module")
def run(only_train: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("held") / "run"
    experiment = tiny_experiment(epochs=1, seed=3)
    assert begin(Run(experiment=experiment, data=str(only_train)), folder, device="cpu").finished
    return folder


def train_of(data: Path) -> DetectionDataset:
    train = open_dataset(data).train
    assert train is not None
    return train


def test_the_images_are_those_that_the_run_was_scored_on(only_train: Path, run: Path) -> None:
    train = train_of(only_train)
    held = held_out(run, train)
    assert held is not None
    assert held.ids.tolist() == hold_out(train, seed=3)[1].ids.tolist() != hold_out(train, seed=0)[1].ids.tolist()
    assert held_out(run, train.subset(range(15))) is None, "other data"


def test_a_run_with_a_validation_split_held_nothing_out(only_train: Path, finished: Path, tmp_path: Path) -> None:
    assert held_out(finished, train_of(only_train)) is None
    assert held_out(tmp_path, train_of(only_train)) is None, "no run"


@pytest.mark.parametrize("header", ["half a file", None, "[" * 200_000])
def test_a_damaged_checkpoint_tells_nothing(only_train: Path, tmp_path: Path, header: str | None) -> None:
    file = tmp_path / "last.safetensors"
    if header is not None and header.startswith("["):
        save_file({}, file, metadata={HEADER: header})
    elif header is not None:
        file.write_text(header)
    assert facts_of(file) is None
    assert held_out(tmp_path, train_of(only_train)) is None


def test_a_run_of_an_earlier_version_is_known(only_train: Path, run: Path, tmp_path: Path) -> None:
    """It called images pictures, and had fewer settings."""
    facts = facts_of(run / "last.safetensors")
    assert facts is not None
    facts["validation data"]["pictures"] = facts["validation data"].pop("images")
    del facts["configuration"]["augment"]["paste"]
    save_file({}, tmp_path / "last.safetensors", metadata={HEADER: json.dumps({"facts": facts})})
    assert held_out(tmp_path, train_of(only_train)) is not None
    facts["configuration"]["train"]["seed"] = "many"
    save_file({}, tmp_path / "last.safetensors", metadata={HEADER: json.dumps({"facts": facts})})
    assert held_out(tmp_path, train_of(only_train)) is None


def evaluated(*arguments: Path | str) -> str:
    """Returns what `eval` says, on standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        assert main(["eval", *map(str, arguments), "--device", "cpu"]) == 0
    return out.getvalue() + err.getvalue()


def test_eval_scores_what_was_held_out(only_train: Path, run: Path) -> None:
    """Also of a single file, of weights in the folder, and of the detections of the run."""
    file = only_train / "annotations" / "instances_train.json"
    for data, method in ((only_train, run), (file, run / "best.safetensors"), (only_train, run / "detections.json")):
        said = evaluated(method, "--data", data)
        assert "only the 2 images are used that were held out in training (--split train uses all)" in said
        assert "2 images" in said
    said = evaluated(run, "--data", file, "--split", "train")
    assert "16 images" in said
    assert "held out" not in said


def test_two_runs_are_compared_on_what_both_held_out(only_train: Path, run: Path, tmp_path: Path) -> None:
    for seed in (0, 3):
        experiment = tiny_experiment(epochs=1, seed=seed)
        assert begin(Run(experiment=experiment, data=str(only_train)), tmp_path / str(seed), device="cpu").finished
    assert "only the 2 images are used" in evaluated(run, tmp_path / "3", "--data", only_train)
    said = evaluated(run, tmp_path / "0", "--data", only_train)
    assert "its training split is used; a detector that was trained on it scores better there" in said
