"""Writes `metrics.jsonl`, the log of a run that everything else reads: a JSON object a line."""

import json
from pathlib import Path
from typing import Any

from uncrowd.engine.metrics import read_metrics
from uncrowd.engine.sink import Row
from uncrowd.whole_file import whole_file


class MetricsFile:
    """Appends rows to a file, a `Sink`.

    start_step: the step after which a resumed run continues. Rows that the interrupted run logged after it are
    dropped, because they will be logged again. evaluates_again: this is also true of the evaluation at `start_step` and
    what follows from it.
    """

    def __init__(self, path: Path, start_step: int = 0, evaluates_again: bool = False):
        self.path = path

        def is_kept(row: dict[str, Any]) -> bool:
            return row["step"] < start_step or (
                row["step"] == start_step and not (evaluates_again and row["kind"] not in ("begin", "train"))
            )

        kept = [row for row in read_metrics(path) if is_kept(row)] if start_step else []
        with whole_file(path) as file:
            file.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")

    def write(self, row: Row) -> None:
        """Appends a line."""
        line = json.dumps({"kind": row.kind, "step": row.step, **row.values, "time": row.time})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def close(self) -> None:
        """Does nothing, because the file is open only while it is written."""
