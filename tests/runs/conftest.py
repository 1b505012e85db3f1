"""Runs of the tiny experiment, in this process and in others."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import tiny_experiment
from uncrowd import config
from uncrowd.engine.train import Trainer
from uncrowd.recipes import Experiment
from uncrowd.runs.run import Run, begin
from uncrowd.structures import Batch


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is half the time of such a short run."""
    monkeypatch.setattr("uncrowd.runs.scoring.write_report", lambda *_: None)


@pytest.fixture(scope="session")
def finished(crowd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs of four steps that nothing interrupted, with all that a run leaves behind."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert begin(Run(experiment=tiny_experiment(), data=str(crowd)), folder, device="cpu")
    return folder


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """`at_step(3, f)`: f is called once, just before step 3 (counted from 0 over the run)."""

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


def prepare(folder: Path, crowd: Path, experiment: Experiment | None = None, **training: Any) -> Path:
    """Writes the run's configuration, so that `uncrowd train --resume FOLDER` begins it in another process."""
    experiment = experiment or tiny_experiment()
    experiment = replace(experiment, train=replace(experiment.train, **training))
    folder.mkdir(parents=True)
    config.save(Run(experiment=experiment, data=str(crowd)), folder / "config.json")
    return folder


class Process:
    """A command in a process of its own; `wait_for` a condition, then see how it ended."""

    def __init__(self, *arguments: str):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.out = self.err = ""

    def wait_for(self, condition: Callable[[], bool]) -> None:
        while not condition():
            assert self.process.poll() is None, self.end()
            time.sleep(0.02)

    def end(self, limit: float = 120) -> int:
        self.out, self.err = self.process.communicate(timeout=limit)
        return self.process.returncode

    def descendants(self) -> list[int]:
        """Process ids of its children, their children, and so on (Linux)."""
        found, todo = [], [self.process.pid]
        while todo:
            for file in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
                children = [int(pid) for pid in file.read_text().split()]
                found += children
                todo += children
        return found


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """`start("-m", "uncrowd", ...)`: a Python process that does not outlive the test."""
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
