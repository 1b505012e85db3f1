"""How far a run has come, as the checkpoint holds it: its position in the data and its best score."""

import math
from typing import Any, NamedTuple

from uncrowd.errors import InputError
from uncrowd.words import counted


class Position(NamedTuple):
    """The position of a run in its data: the epoch, and the step in it that comes next, both from 0.

    After the last step of an epoch, `step` is the number of steps in it, and its evaluation comes next.
    """

    epoch: int
    step: int


class Progress(NamedTuple):
    """The position, the best score so far, and the number of scores since then, none of which was better.

    ended: whether training ended early for want of a better score.
    """

    position: Position
    best: float | None
    since_best: int
    ended: bool


def read_progress(progress: Any, epochs: int, steps: int, source: str) -> Progress:
    """Returns the `progress` of a checkpoint. Earlier versions did not count scores since the best, nor write `ended`.

    epochs, steps: of the run, and of each epoch. Raises InputError, naming `source`, when no such run can be there.
    """
    try:
        (epoch, step), best, since_best = progress["position"], progress["best"], progress.get("since_best", 0)
        ended = progress.get("ended", True)  # they ended wherever patience was up
        if not type(epoch) is type(step) is type(since_best) is int or type(ended) is not bool:
            raise TypeError
        within = (0 <= epoch < epochs and 0 <= step <= steps) or (epoch, step) == (epochs, 0)
        if within and (best is None or math.isfinite(best)) and since_best >= 0:
            return Progress(Position(epoch, step), best, since_best, ended)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise InputError(
        f"{source} has a damaged record of its progress, {progress}: this run has {counted(epochs, 'epoch')} of "
        f"{counted(steps, 'step')}, and a best score is a number or null; begin a new run."
    )
