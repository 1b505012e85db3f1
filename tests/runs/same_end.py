"""What two runs must share for one of them to count as uninterrupted."""

from pathlib import Path
from typing import Any

from uncrowd.engine.metrics import read_metrics


def assert_same_end(folder: Path, expected: Path) -> None:
    """Weights, average, optimiser, best score and position; detections; and each row of the log, once."""
    for name in ("last", "best", "weights"):
        file = f"{name}.safetensors"
        assert (folder / file).read_bytes() == (expected / file).read_bytes(), file
    assert (folder / "detections.json").read_bytes() == (expected / "detections.json").read_bytes()
    assert logged(folder) == logged(expected)


def logged(folder: Path) -> list[dict[str, Any]]:
    """Returns the rows of the log without what depends on the clock."""
    timing = ("time", "images_per_second", "waiting_for_data")
    rows = read_metrics(folder / "metrics.jsonl")
    return [{key: row[key] for key in row if key not in timing} for row in rows if row["kind"] != "begin"]
