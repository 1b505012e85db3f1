"""Runs in processes of their own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.tiny import tiny_experiment
from uncrowd import config
from uncrowd.recipes import Experiment
from uncrowd.runs.run import Run


def prepare(folder: Path, crowd: Path, experiment: Experiment | None = None, **training: Any) -> Path:
    """Writes the run's configuration, so that `uncrowd train --resume FOLDER` begins it in another process."""
    experiment = experiment or tiny_experiment()
    experiment = replace(experiment, train=replace(experiment.train, **training))
    folder.mkdir(parents=True)
    config.save(Run(experiment=experiment, data=str(crowd)), folder / "config.json")
    return folder


class Process:
    """A command in a process of its own: `wait_for` waits for a condition, `end` for its exit status."""

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
        """Returns the process ids of its children, of their children, and so on (Linux)."""
        found, todo = [], [self.process.pid]
        while todo:
            for file in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
                children = [int(pid) for pid in file.read_text().split()]
                found += children
                todo += children
        return found
