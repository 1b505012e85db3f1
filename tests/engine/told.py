"""Events of a training loop that record their calls."""

from torch import nn


class Told:
    """Records each call. Each evaluation returns the next one of the given scores."""

    def __init__(self, scores: list[float | None] | None = None):
        self.scores = iter(scores or [])
        self.events: list[tuple[str, int]] = []

    def evaluate(self, model: nn.Module, epoch: int, step: int) -> float | None:
        self.events.append(("evaluate", epoch))
        return next(self.scores, None)

    def improved(self, model: nn.Module) -> None:
        self.events.append(("improved", 0))

    def finished(self, model: nn.Module) -> None:
        self.events.append(("finished", 0))
