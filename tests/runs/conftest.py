"""Fixtures that run the tiny experiment in this process and in others."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runs.process import Process
from tests.tiny import tiny_experiment
from uncrowd.engine.train import Trainer
from uncrowd.recipes import Experiment
from uncrowd.runs.run import Run, begin
from uncrowd.structures import Batch


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the report out, which takes half the time of such a short run."""
    monkeypatch.setattr("uncrowd.runs.scoring.write_report", lambda *_: None)


@pytest.fixture(scope="session")
def finished(crowd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a complete run of two epochs of four steps, which nothing interrupted."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert begin(Run(experiment=tiny_experiment(), data=str(crowd)), folder, device="cpu").finished
    return folder


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """`at_step(3, f)` calls f once, just before step 3, counted from 0 over the run."""

    def call_at(step: int, action: Callable[[], None]) -> None:
        done: list[int] = []
        original = Trainer._step

        def watched(self: Trainer, batch: Batch) -> Any:
            if self.global_step == step and not done:
                done.append(step)
                action()
            return original(self, batch)

        monkeypatch.setattr(Trainer, "_step", watched)

    return call_at


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """`start("-m", "uncrowd", ...)` starts a Python process, which does not outlive the test."""
    started: list[Process] = []

    def start_process(*arguments: str) -> Process:
        started.append(Process(*arguments))
        return started[-1]

    yield start_process
    for process in started:
        if process.process.poll() is None:
            for pid in [*process.descendants(), process.process.pid]:
                os.kill(pid, 9)
            process.end()


@pytest.fixture
def sayings(at_step: Callable[[int, Callable[[], None]], None], tmp_path: Path) -> Callable[..., list[str]]:
    """`sayings(data, experiment)` returns what a run says before its first step."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    def said_by(data: Path, experiment: Experiment, **run: Any) -> list[str]:
        at_step(0, interrupt)
        said: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            begin(Run(experiment=experiment, data=str(data), **run), tmp_path / "run", device="cpu", say=said.append)
        return said

    return said_by
