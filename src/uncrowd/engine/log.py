"""The log of a run: a JSON object per line, TensorBoard events and the terminal. Only rank 0 has one."""

import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from uncrowd.engine.events import Events
from uncrowd.engine.metrics import read_metrics
from uncrowd.errors import InputError
from uncrowd.whole_file import whole_file


class RunLog:
    """Appends to `metrics.jsonl` and TensorBoard events in a run's folder, and shows progress.

    start_step: the step after which a resumed run continues. Rows that the interrupted run logged after it are
    dropped, because they will be logged again. evaluates_again: this is also true of the evaluation at `start_step` and
    what follows from it.
    """

    def __init__(self, folder: Path, *, start_step: int = 0, evaluates_again: bool = False):
        self.path = folder / "metrics.jsonl"

        def is_kept(row: dict[str, Any]) -> bool:
            return row["step"] < start_step or (
                row["step"] == start_step and not (evaluates_again and row["kind"] in ("eval", "stop"))
            )

        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            kept = [row for row in read_metrics(self.path) if is_kept(row)] if start_step else []
            with whole_file(self.path) as file:
                file.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
            self._events = Events(folder / "tensorboard", start_step + 1)
        self._console = Console(emoji=False)
        self._progress: Progress | None = None

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Appends one row with the time (seconds since 1970). Numbers also go to TensorBoard, as `kind/name`.

        A number that is not finite becomes null, because JSON has no such numbers. Raises InputError when the disk is
        full.
        """
        finite = {name: value if _is_json(value) else None for name, value in values.items()}
        row = {"kind": kind, "step": step, **finite, "time": round(time.time(), 3)}
        with self._writing():
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            numbers = {f"{kind}/{name}": value for name, value in finite.items() if isinstance(value, int | float)}
            self._events.add(numbers, step)

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
        """Removes the progress bar and closes the events."""
        if self._progress is not None:
            self._progress.stop()
        with suppress(OSError):  # a full disk has been reported before
            self._events.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"The run's folder {self.path.parent} cannot be written: {reason}.") from error


def _is_json(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
