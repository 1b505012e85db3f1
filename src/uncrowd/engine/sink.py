"""What a log hands to each place that it is written to."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, kw_only=True)
class Row:
    """One event of a run, as JSON can hold it.

    kind: "begin", "train", "eval", "counts" or "stop". step: the number of steps taken before it. values: by name, None
    where a number is not finite. time: seconds since 1970.
    """

    kind: str
    step: int
    values: dict[str, Any]
    time: float

    @property
    def numbers(self) -> dict[str, int | float]:
        """The numbers among the values, as `kind/name`."""
        return {f"{self.kind}/{name}": value for name, value in self.values.items() if isinstance(value, int | float)}


@runtime_checkable
class Sink(Protocol):
    """A place that a log is written to: `metrics.jsonl`, TensorBoard events, or a tracker."""

    def write(self, row: Row) -> None:
        """Takes one row, in the order of the steps. Raises OSError when the disk is full."""

    def close(self) -> None:
        """Ends the run here; nothing is written afterwards."""
