"""Runs that are killed, or whose disk is full or cannot be written, end as if nothing had happened once they go on."""

import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.runs.process import Process, prepare
from tests.runs.same_end import assert_same_end
from tests.soak.forked import Forked, forked, require_sentence
from tests.soak.ground import SETTINGS, Ground, fresh

LIMIT = 240.0  # seconds that a run of eight steps may take on a busy machine
OPERATIONS = ("open", "os.mkdir", "os.rename", "os.remove", "os.listdir", "os.scandir", "os.truncate", "os.chmod")
NOBODY = 65534


def killed(ground: Ground, rng: np.random.Generator) -> None:
    """A run is killed up to three times: at a random moment, at a file operation, or in the middle of a write."""
    setting = str(rng.choice(list(SETTINGS)))
    expected, folder = ground.finished(setting), fresh(ground, rng) / "run"
    train = ground.train(setting, folder)
    seconds = forked_seconds(expected)
    for _ in range(rng.integers(1, 4)):
        how = rng.choice(["moment", "operation", "write"])
        if how == "moment":
            process = Forked(train)
            time.sleep(rng.uniform(0, seconds))
            process.kill()
            process.wait(LIMIT)
        elif how == "operation":
            forked(kill_at_operation(int(rng.integers(0, 400)), folder, train), LIMIT)
        else:
            forked(kill_in_write(int(rng.integers(0, size_of(expected))), train), LIMIT)
    _finish(train, folder, expected)


def forked_seconds(run: Path) -> float:
    """About how long a run took, from the times of its files."""
    return max(0.5, (run / "report.html").stat().st_mtime - (run / "config.json").stat().st_mtime + 0.5)


def size_of(run: Path) -> int:
    """Bytes of its largest file."""
    return (run / "last.safetensors").stat().st_size


def kill_at_operation(number: int, folder: Path, train: Callable[[], Any]) -> Callable[[], Any]:
    """Kills the process at its n-th operation on files of the run's folder, just before it is done."""

    def action() -> Any:
        left = [number]

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event in OPERATIONS and any(str(folder) in str(argument) for argument in arguments):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        return train()

    return action


def kill_in_write(size: int, train: Callable[[], Any]) -> Callable[[], Any]:
    """Kills the process when it writes a file beyond `size` bytes."""

    def action() -> Any:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return train()

    return action


def full_disk(ground: Ground, rng: np.random.Generator) -> None:
    """A file cannot grow beyond some size: the run says so in a sentence, and goes on when there is room."""
    setting = str(rng.choice(list(SETTINGS)))
    expected, folder = ground.finished(setting), fresh(ground, rng) / "run"
    train, size = ground.train(setting, folder), int(rng.integers(0, size_of(expected)))

    def action() -> Any:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        try:
            return train()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    require_sentence(forked(action, LIMIT))
    _finish(train, folder, expected)


def read_only_disk(ground: Ground, rng: np.random.Generator) -> None:
    """The run's folder cannot be written any more, at some step; it goes on when it can."""
    setting = str(rng.choice(list(SETTINGS)))
    expected, folder = ground.finished(setting), fresh(ground, rng) / "run"
    train, number = ground.train(setting, folder), int(rng.integers(0, 300))

    def action() -> Any:
        left = [number]

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event in OPERATIONS and any(str(folder) in str(argument) for argument in arguments):
                left[0] -= 1
                if left[0] == -1:
                    if folder.exists():
                        folder.chmod(0o555)
                    if os.geteuid() == 0:
                        os.setegid(NOBODY)
                        os.seteuid(NOBODY)

        sys.addaudithook(hook)
        return train()

    require_sentence(forked(action, LIMIT))
    if folder.exists():
        folder.chmod(0o755)
    _finish(train, folder, expected)


def two_ranks(ground: Ground, rng: np.random.Generator) -> None:
    """Two ranks are killed at a random moment, both with their launcher or one of them alone, and go on."""
    expected = ground.folder / "finished" / "two_ranks"
    if not (expected / "weights.safetensors").exists():
        start = time.monotonic()
        assert _launch(prepare(expected, ground.dataset)).end(LIMIT) == 0
        (expected / "seconds").write_text(str(time.monotonic() - start))
    folder = prepare(fresh(ground, rng) / "run", ground.dataset)
    launcher = _launch(folder)
    time.sleep(rng.uniform(0, float((expected / "seconds").read_text())))
    everyone = [launcher.process.pid, *launcher.descendants()]
    one = rng.random() < 0.5 and len(everyone) > 2
    for pid in [everyone[rng.integers(1, 3)]] if one else everyone:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    launcher.end(LIMIT)
    again = _launch(folder)
    assert again.end(LIMIT) == 0, again.err
    assert_same_end(folder, expected)
    shutil.rmtree(folder.parent)


def _launch(folder: Path) -> Process:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    return Process(*torchrun, "-m", "uncrowd", "train", "--resume", str(folder), "--device", "cpu")


def _finish(train: Callable[[], int], folder: Path, expected: Path) -> None:
    ended = forked(train, LIMIT)
    require_sentence(ended, statuses=(0,))
    assert_same_end(folder, expected)
    left = {file.name for file in folder.iterdir()} - {file.name for file in expected.iterdir()}
    assert not left, f"left behind: {left}"
    shutil.rmtree(folder.parent)
