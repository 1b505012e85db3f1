"""What a run held out of its data is found again, to the image, and of no other data."""

from pathlib import Path

import pytest

from tests.tiny import SCENES, tiny_experiment
from uncrowd.cli import main
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.splits import hold_out
from uncrowd.data.synthetic.scenes import write_dataset
from uncrowd.engine.checkpoint import facts_of
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
    (tmp_path / "last.safetensors").write_text("half a file")
    assert facts_of(tmp_path / "last.safetensors") is None


def test_eval_scores_what_was_held_out(only_train: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run), "--data", str(only_train), "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert f"only the 2 images are used that {run} held out when it was trained (--split train uses all)" in said.err
    assert "2 images" in said.out
    assert main(["eval", str(run), "--data", str(only_train), "--split", "train", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert "16 images" in said.out
    assert "held" not in said.err
