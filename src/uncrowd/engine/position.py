"""The position of a run in its data, as the checkpoint holds it."""

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


def read_progress(progress: Any, epochs: int, steps: int, source: str) -> tuple[Position, float | None]:
    """Returns the position and the best score so far from the `progress` of a checkpoint.

    epochs, steps: of the run, and of each epoch. Raises InputError, naming `source`, when no such run can be there.
    """
    try:
        (epoch, step), best = progress["position"], progress["best"]
        if type(epoch) is not int or type(step) is not int:
            raise TypeError
        within = (0 <= epoch < epochs and 0 <= step <= steps) or (epoch, step) == (epochs, 0)
        if within and (best is None or math.isfinite(best)):
            return Position(epoch, step), best
    except (KeyError, TypeError, ValueError):
        pass
    raise InputError(
        f"{source} has a damaged record of its progress, {progress}: this run has {counted(epochs, 'epoch')} of "
        f"{counted(steps, 'step')}, and a best score is a number or null; begin a new run."
    )
