"""What a run says: one JSON object a line, TensorBoard, and the terminal. Only rank 0 has a log."""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from uncrowd.errors import InputError


class RunLog:
    """Appends to `metrics.jsonl` and TensorBoard events in a run's folder, and shows progress.

    start_step: where a resumed run goes on; what an interrupted one logged beyond it is dropped, for it comes again.
    """

    def __init__(self, folder: Path, *, start_step: int = 0):
        self.path = folder / "metrics.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            kept = [row for row in read_metrics(self.path) if row["step"] <= start_step] if start_step else []
            self.path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        except OSError as error:
            raise InputError(f"The run's folder {folder} cannot be written: {error.strerror or error}.") from error
        self._events = SummaryWriter(folder / "tensorboard", purge_step=start_step or None)
        self._console = Console()
        self._progress: Progress | None = None

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Appends one row; numbers among its values go to TensorBoard as well, under `kind/name`."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        for name, value in values.items():
            if isinstance(value, int | float) and value == value:
                self._events.add_scalar(f"{kind}/{name}", value, step)

    def say(self, text: str) -> None:
        """Prints a line for the user."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def progress(self, done: int, total: int, text: str, *, plain: bool) -> None:
        """Moves the bar to `done` of `total`; where there is no terminal, prints a plain line if `plain`."""
        if not sys.stdout.isatty():
            if plain:
                self.say(f"step {done}/{total}  {text}")
            return
        if self._progress is None:
            columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self._progress = Progress(*columns, TextColumn("{task.description}"), console=self._console)
            self._progress.add_task(text, total=total, completed=done)
            self._progress.start()
        self._progress.update(self._progress.task_ids[0], completed=done, description=text)

    def close(self) -> None:
        """Ends the bar and flushes the events."""
        if self._progress is not None:
            self._progress.stop()
        self._events.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a `metrics.jsonl`, without a last line that a kill cut short."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
