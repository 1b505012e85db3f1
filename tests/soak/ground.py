"""What all tries share: a small dataset, detectors, and runs that nothing interrupted."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tests.soak.forked import forked
from tests.tiny import SCENES, tiny_experiment
from uncrowd.data.synthetic.scenes import write_dataset
from uncrowd.runs.run import Run, begin, resume

# Settings of training under which runs are interrupted: each takes other paths through a step or a checkpoint.
SETTINGS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "plain": {"ema_decay": None},
        "averaged": {},
        "accumulating": {"accumulate": 2},
        "with workers": {"workers": 2},
        "often saved": {"checkpoint_every": 1, "workers": 1},
    }
)


@dataclass(frozen=True)
class Ground:
    """A folder in which tries are made.

    dataset: a COCO dataset of small drawn crowds with a training and a validation split. A finished run for each of
    `SETTINGS` is made when it is first asked for.
    """

    folder: Path

    @classmethod
    def prepare(cls, folder: Path) -> "Ground":
        """Draws the dataset."""
        ground = cls(folder)
        write_dataset(ground.dataset, "train", SCENES, images=16, seed=0)
        write_dataset(ground.dataset, "val", SCENES, images=6, seed=1)
        return ground

    @property
    def dataset(self) -> Path:
        return self.folder / "crowd"

    def train(self, setting: str, folder: Path) -> Callable[[], int]:
        """Returns an action that begins the run in `folder`, or resumes it where it has begun."""
        run = Run(experiment=tiny_experiment(**SETTINGS[setting]), data=str(self.dataset))

        def action() -> int:
            if (folder / "config.json").exists():
                return _status(lambda: resume(folder, device="cpu").finished)
            return _status(lambda: begin(run, folder, device="cpu").finished)

        return action

    def finished(self, setting: str) -> Path:
        """Returns the folder of a run that nothing interrupted."""
        folder = self.folder / "finished" / setting.replace(" ", "_")
        if not (folder / "weights.safetensors").exists():
            ended = forked(self.train(setting, folder), limit=600)
            assert ended.result == 0, ended.said
        return folder

    @property
    def weights(self) -> Path:
        return self.finished("averaged") / "weights.safetensors"

    @property
    def onnx(self) -> Path:
        """The exported detector of the finished run; made when it is first asked for."""
        path = self.folder / "detector.onnx"
        if not path.exists():
            ended = forked(lambda: verb("export", str(self.weights), str(path)), limit=600)
            assert ended.result == 0, ended.said
        return path


def verb(*arguments: str) -> int:
    """Runs a verb in this process and returns its exit status."""
    from uncrowd.cli import main

    return main(arguments)


def _status(action: Callable[[], bool]) -> int:
    """Ends as the command line would."""
    from uncrowd.errors import InputError

    try:
        return 0 if action() else 3
    except InputError as error:
        print(f"uncrowd: {error}", file=sys.stderr)
        return 2


def fresh(ground: Ground, rng: np.random.Generator) -> Path:
    """Returns a new empty folder for one try."""
    folder = ground.folder / "tries" / f"{os.getpid()}-{rng.integers(1 << 62):x}"
    folder.mkdir(parents=True)
    return folder
