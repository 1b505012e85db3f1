"""A run that logs to a tracker, for which a stand-in records what it gets."""

import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import uncrowd
from tests.engine import stand_ins
from tests.tiny import tiny_experiment
from uncrowd.errors import InputError
from uncrowd.runs.run import Run, begin, resume, saved_run


@pytest.mark.usefixtures("no_report")
def test_an_interrupted_run_goes_on_in_its_tracker(
    crowd: Path, tmp_path: Path, at_step: Callable[[int, Callable[[], None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = stand_ins.Recorded()
    monkeypatch.setitem(sys.modules, "mlflow", stand_ins.mlflow(recorded))
    run = Run(experiment=tiny_experiment(), data=str(crowd), log_to=("mlflow",))
    at_step(5, lambda: signal.raise_signal(signal.SIGTERM))
    assert not begin(run, tmp_path / "run", device="cpu").finished
    assert resume(tmp_path / "run", device="cpu").finished

    assert [begun["known"] for begun in recorded.begun] == [None, "id-1"]
    assert recorded.ended == ["id-1", "id-1"]
    (configured,) = recorded.configured
    assert configured["experiment.train.epochs"] == 2
    assert configured["data"] == str(crowd)
    trained = [step for _, step, values in recorded.logged if "train/loss" in values]
    assert trained == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {"train/learning_rate", "train/images_per_second"} <= recorded.logged[1][2].keys()
    assert [step for _, step, values in recorded.logged if "eval/AP" in values] == [4, 8]


@pytest.mark.usefixtures("no_report")
def test_a_resumed_run_may_change_its_trackers(
    crowd: Path, tmp_path: Path, at_step: Callable[[int, Callable[[], None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = stand_ins.Recorded()
    monkeypatch.setitem(sys.modules, "wandb", stand_ins.wandb(recorded))
    experiment = replace(tiny_experiment(), name="short")
    at_step(1, lambda: signal.raise_signal(signal.SIGTERM))
    assert not begin(Run(experiment=experiment, data=str(crowd)), tmp_path / "run", device="cpu").finished
    at_step(3, lambda: signal.raise_signal(signal.SIGTERM))
    assert not resume(tmp_path / "run", log_to=["wandb"], device="cpu").finished
    assert saved_run(tmp_path / "run").log_to == ("wandb",)
    assert [step for _, step, _ in recorded.logged] == [3, 4]
    at_step(4, lambda: signal.raise_signal(signal.SIGTERM))
    assert not resume(tmp_path / "run", log_to=[], device="cpu").finished
    assert saved_run(tmp_path / "run").log_to == ()
    assert len(recorded.begun) == 1


def test_an_unknown_tracker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^log_to is \['tensorboard'\]; give a list of wandb, mlflow and trackio\.$"):
        uncrowd.train(tmp_path, log_to=["tensorboard"])  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"^log_to is 'wandb'; give a list of wandb, mlflow and trackio\.$"):
        uncrowd.resume(tmp_path, log_to="wandb")  # pyright: ignore[reportArgumentType]
