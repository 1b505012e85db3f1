"""What a run leaves behind, for Python."""

from dataclasses import dataclass
from pathlib import Path

from uncrowd.engine.metrics import read_metrics, scores_in


@dataclass(frozen=True)
class TrainedRun:
    """A run and the files in its folder.

    finished: whether the last epoch was reached. An unfinished run continues with `uncrowd.resume(run.folder)`.
    stopped_by: the number of the signal that stopped the run, such as 15 for SIGTERM, or None.
    """

    folder: Path
    finished: bool
    stopped_by: int | None = None

    @property
    def weights(self) -> Path:
        """The weights after the last epoch, which `uncrowd.load` reads. They exist once the run is finished."""
        return self.folder / "weights.safetensors"

    @property
    def best(self) -> Path:
        """The weights with the best headline score of all evaluations. They exist after the first evaluation."""
        return self.folder / "best.safetensors"

    @property
    def scores(self) -> dict[str, float | None]:
        """The scores of the last evaluation by name, between 0 and 1; empty before the first evaluation.

        A score that is not defined is None, such as AP of small objects where there are none.
        """
        rows = [row for row in read_metrics(self.folder / "metrics.jsonl") if row["kind"] == "eval"]
        return scores_in(rows[-1]) if rows else {}
