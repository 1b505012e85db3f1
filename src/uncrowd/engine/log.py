"""The log of a run: its rows go to every sink, and what a person reads goes to the terminal. Only rank 0 has one."""

import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from uncrowd.engine.metrics_file import MetricsFile
from uncrowd.engine.sink import Row, Sink
from uncrowd.engine.tensorboard_file import TensorboardFile
from uncrowd.errors import InputError


class RunLog:
    """Writes rows to `metrics.jsonl` and TensorBoard events in a run's folder and to trackers, and shows progress.

    trackers: further sinks. start_step, evaluates_again: see `MetricsFile`.
    """

    def __init__(
        self, folder: Path, trackers: Sequence[Sink] = (), *, start_step: int = 0, evaluates_again: bool = False
    ):
        self.folder = folder
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            self._sinks: list[Sink] = [
                MetricsFile(folder / "metrics.jsonl", start_step, evaluates_again),
                TensorboardFile(folder / "tensorboard", start_step + 1),
                *trackers,
            ]
        self._console = Console(emoji=False)
        self._progress: Progress | None = None

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Writes one row with the time. Raises InputError when the disk is full.

        A number that is not finite becomes None, because JSON has no such numbers.
        """
        finite = {name: value if _is_json(value) else None for name, value in values.items()}
        row = Row(kind=kind, step=step, values=finite, time=round(time.time(), 3))
        with self._writing():
            for sink in self._sinks:
                sink.write(row)

    def say(self, text: str) -> None:
        """Prints a line for the user."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def progress(self, done: int, total: int, text: str | None = None) -> None:
        """Moves the progress bar to `done` of `total`. Without a terminal it prints `text`, if any, as a plain line."""
        if not sys.stdout.isatty():
            if text is not None:
                self.say(f"step {done}/{total}  {text}")
            return
        if self._progress is None:
            columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self._progress = Progress(*columns, TextColumn("{task.description}"), console=self._console)
            self._progress.add_task("", total=total, completed=done)
            self._progress.start()
        self._progress.update(self._progress.task_ids[0], completed=done, description=text)

    def close(self) -> None:
        """Removes the progress bar and closes the sinks."""
        if self._progress is not None:
            self._progress.stop()
        for sink in self._sinks:
            with suppress(OSError):  # a full disk has been reported before
                sink.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"The run's folder {self.folder} cannot be written: {reason}.") from error


def _is_json(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
