"""Splits the time of our training step into parts.

`seconds_by_part` waits for the device before and after each part, so that a part includes the work that it launches.
Then nothing overlaps, and a step takes longer than it really does. `share_of_waiting` adds no waits and measures how
much of the time the host waits for the device. The rest is the host's own work, or waiting because the device's queue
is full, which cannot be told apart.
"""

import statistics
from collections.abc import Iterator, Sequence
from itertools import islice
from time import perf_counter

from benchmarks.parts import BACKBONE, NORMALISING, PYRAMID, REST, Parts, Watched, clock
from benchmarks.training_steps import EngineStep
from torch import Tensor, nn

from uncrowd.engine import learner
from uncrowd.losses import criterion as criterion_module
from uncrowd.losses import matcher
from uncrowd.structures import Batch

DATA, COPY, HEAD, COSTS = "waiting for data", "copying to the device", "head", "cost matrix"
ASSIGNMENT, LOSS, BACKWARD = "assignment on the host", "loss", "backward"
CLIPPING, OPTIMISER, WAITING = "clipping of gradients", "optimiser", "waiting for the device"
STEP_PARTS = (
    DATA,
    COPY,
    NORMALISING,
    BACKBONE,
    PYRAMID,
    HEAD,
    COSTS,
    ASSIGNMENT,
    LOSS,
    BACKWARD,
    CLIPPING,
    OPTIMISER,
    REST,
)

Shares = list[dict[str, float]]  # seconds of each part, step by step


def seconds_by_part(step: EngineStep, batches: Iterator[Batch], bf16: bool, steps: int) -> Shares:
    """Returns the seconds of each part in each of so many steps, after one warm-up step."""
    found: Shares = []
    for _ in range(1 + steps):
        parts = Parts(clock)
        with parts.watching(_parts_of(step)):
            step(parts.within(DATA, next)(batches), bf16)
        found.append({part: parts.of_part[part] for part in STEP_PARTS})
    return found[1:]


def share_of_waiting(step: EngineStep, batches: Iterator[Batch], bf16: bool, steps: int) -> float:
    """Returns the share of the time for which the host waits for the device during so many consecutive steps.

    A step waits when the costs of the matching are copied to the host. After the last step, its end is awaited too.
    """
    clock()
    parts = Parts(perf_counter)
    with parts.watching([Watched(Tensor, "cpu", WAITING)]):
        for batch in islice(batches, steps):
            step(batch, bf16)
        parts.within(WAITING, clock)()
    return parts.of_part[WAITING] / parts.of_part.total()


def table(shares: Shares) -> str:
    """Returns one line for each part, with its time and its share of the step."""
    wholes = [sum(of_step.values()) for of_step in shares]
    lines = [f"{'':24}{'ms':>9}   % of the step"]
    for part in STEP_PARTS:
        times = [of_step[part] for of_step in shares]
        if any(times):
            lines.append(f"{part:24}{1000 * statistics.median(times):9.1f}   {_share(times, wholes)}")
    lines.append(f"{'all':24}{1000 * statistics.median(wholes):9.1f}")
    return "\n".join(lines)


def _share(times: Sequence[float], wholes: Sequence[float]) -> str:
    shares = [100 * time / whole for time, whole in zip(times, wholes, strict=True)]
    return f"{statistics.median(shares):5.1f} ({min(shares):.1f} to {max(shares):.1f})"


def parts_of_loss(criterion: nn.Module) -> list[Watched]:
    """Returns the callables to watch between the outputs of a model and the gradients."""
    return [
        Watched(criterion, "forward", LOSS),
        Watched(criterion_module, "match", ASSIGNMENT),
        Watched(matcher, "matching_cost", COSTS),
        Watched(Tensor, "backward", BACKWARD),
    ]


def _parts_of(step: EngineStep) -> list[Watched]:
    model, optimizer = step.model, step.learner.optimizer
    return [
        Watched(learner, "to_device", COPY),
        Watched(model, "normalise", NORMALISING),
        Watched(model.backbone, "forward", BACKBONE),
        Watched(model.pyramid, "forward", PYRAMID),
        Watched(model.head, "forward", HEAD),
        *parts_of_loss(step.criterion),
        Watched(nn.utils, "clip_grad_norm_", CLIPPING),
        Watched(optimizer, "step", OPTIMISER),
        Watched(optimizer, "zero_grad", OPTIMISER),
    ]
