"""What a tracker gets, through accelerate and stand-ins for the packages, and what becomes of one that fails."""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine import stand_ins
from tests.engine.stand_ins import Recorded
from uncrowd.engine.accelerator import build_accelerator
from uncrowd.engine.log import RunLog
from uncrowd.engine.metrics import read_metrics
from uncrowd.engine.trackers import TrackerName, require_trackers, start_trackers
from uncrowd.errors import InputError

NAMES: tuple[TrackerName, ...] = ("wandb", "mlflow", "trackio")


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[str, Recorded]:
    """The runs of each tracker, which stand-ins record."""
    build_accelerator("cpu")
    runs = {name: Recorded() for name in NAMES}
    for name, of_tracker in runs.items():
        monkeypatch.setitem(sys.modules, name, getattr(stand_ins, name)(of_tracker))
    return runs


def write_run(folder: Path, *, goes_on: bool = False, say: Callable[[str], None] = print, steps: int = 2) -> None:
    folder.mkdir(exist_ok=True)
    log = RunLog(folder, start_trackers(NAMES, folder, {"train.epochs": 3}, goes_on=goes_on, say=say))
    log.write("begin", 0, {"start": "random weights"})
    for step in range(1, steps + 1):
        log.write("train", step, {"loss": step / 2, "gradient_norm": math.nan})
    log.close()


def test_trackers_get_the_numbers_the_settings_and_the_name(recorded: dict[str, Recorded], tmp_path: Path) -> None:
    write_run(tmp_path / "street-1")
    for name, runs in recorded.items():
        id = "street-1" if name == "trackio" else "id-1"
        assert runs.logged == [(id, 1, {"train/loss": 0.5}), (id, 2, {"train/loss": 1.0})], name
        assert runs.configured == [{"train.epochs": 3}], name
        assert runs.ended == [id], name
    assert (recorded["wandb"].begun[0]["project"], recorded["wandb"].begun[0]["name"]) == ("uncrowd", "street-1")
    assert (recorded["mlflow"].begun[0]["experiment_id"], recorded["mlflow"].begun[0]["run_name"]) == (
        "uncrowd",
        "street-1",
    )
    assert recorded["trackio"].begun[0]["project"] == "uncrowd"


def test_a_project_of_the_users_own_is_taken(
    recorded: dict[str, Recorded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "cows")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "cows")
    write_run(tmp_path / "street-1")
    assert recorded["wandb"].begun[0]["project"] == "cows"
    assert recorded["mlflow"].begun[0]["experiment_id"] == "cows"


def test_a_resumed_run_goes_on_in_the_same_run(recorded: dict[str, Recorded], tmp_path: Path) -> None:
    write_run(tmp_path / "street-1")
    write_run(tmp_path / "street-1", goes_on=True)
    for name, runs in recorded.items():
        first, second = runs.ended
        assert first == second == runs.begun[1]["known"], name
        assert len(runs.configured) == (1 if name == "mlflow" else 2), "MLflow refuses other settings"
    assert [begun["resume"] for begun in recorded["trackio"].begun] == ["never", "allow"]
    write_run(tmp_path / "street-1")
    assert recorded["wandb"].ended[-1] == "id-3", "a run that begins has a run of its own"


def test_damaged_ids_begin_a_run(recorded: dict[str, Recorded], tmp_path: Path) -> None:
    write_run(tmp_path / "street-1")
    for damaged in ("{", "[]", "\x00"):
        (tmp_path / "street-1" / "trackers.json").write_text(damaged)
        write_run(tmp_path / "street-1", goes_on=True)
        assert recorded["mlflow"].begun[-1]["known"] is None


def test_a_tracker_that_fails_is_said_once_and_ends_no_training(recorded: dict[str, Recorded], tmp_path: Path) -> None:
    recorded["mlflow"].broken = True
    said: list[str] = []
    write_run(tmp_path / "street-1", say=said.append, steps=3)
    assert said == [
        "NOTE: mlflow failed and gets no more of this run; metrics.jsonl has all of it: the network is gone"
    ]
    assert len(recorded["wandb"].logged) == len(recorded["trackio"].logged) == 3
    assert [row["step"] for row in read_metrics(tmp_path / "street-1" / "metrics.jsonl")] == [0, 1, 2, 3]


def test_a_tracker_that_cannot_start_ends_those_before_it(
    recorded: dict[str, Recorded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError("api_key not configured")

    monkeypatch.setattr("mlflow.start_run", refuse)
    with pytest.raises(InputError, match=r"mlflow cannot start or continue a run: api_key not configured; correct"):
        write_run(tmp_path / "street-1")
    assert recorded["wandb"].ended == ["id-1"]
    assert not (tmp_path / "street-1" / "metrics.jsonl").exists()


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(InputError, match=r"--log-to trackio needs trackio, which is not .* 'uncrowd\[trackio\]'"):
        require_trackers(["trackio"])
