"""Reads the log of a run, without the packages that writing one needs."""

import json
from pathlib import Path
from typing import Any

# Names of numbers in the logs of earlier versions -> their names now.
RENAMED = {"pictures_per_second": "images_per_second"}
# What the row of an evaluation holds beside its scores.
_NO_SCORES = ("kind", "step", "time", "epoch", "per_class")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a `metrics.jsonl`, each with its kind and step, up to the first line that is no row.

    A kill may have cut the last line short. Numbers of an earlier version get their present names.
    """
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(row, dict) or not row.keys() >= {"kind", "step"}:
            break
        rows.append({RENAMED.get(name, name): value for name, value in row.items()})
    return rows


def scores_in(row: dict[str, Any]) -> dict[str, Any]:
    """Returns the scores in the row of an evaluation, by name; one that is not defined is None."""
    return {name: value for name, value in row.items() if name not in _NO_SCORES}
