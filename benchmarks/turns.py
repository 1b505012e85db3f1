"""Lets contestants take turns, round after round, so that a ratio compares times under the same conditions."""

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

import torch

Rounds = dict[str, list[float]]  # seconds of each round, by contestant


def take_turns(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int,
    warm_up: int = 1,
    clock: Callable[[], float] = perf_counter,
) -> Rounds:
    """Returns the seconds of each contestant in each of so many rounds, after `warm_up` rounds that are not counted.

    clock: `time.process_time` counts what the process computes, and not how long it waits for other processes. The time
    of a contestant includes waiting for its work on the GPU. Each turn is reported on standard error at once, so that
    its time is known even if the run is cut short.
    """
    seconds: Rounds = {name: [] for name in contestants}
    for number in range(-warm_up, rounds):
        for name, run in contestants.items():
            _finish()
            start = clock()
            run()
            _finish()
            took = clock() - start
            print(
                f"round {number + 1 if number >= 0 else 'to warm up'}: {name}, {took:.4f} s",
                file=sys.stderr,
                flush=True,
            )
            if number >= 0:
                seconds[name].append(took)
    return seconds


def ratios(seconds: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Returns how many times as fast as the reference something was in each round."""
    return [theirs / ours for theirs, ours in zip(reference, seconds, strict=True)]


def with_spread(values: list[float]) -> str:
    """Returns the median and the range, such as "1.66 times (1.60 to 1.98)"."""
    return f"{statistics.median(values):.2f} times ({min(values):.2f} to {max(values):.2f})"


def table(seconds: Rounds, reference: str) -> str:
    """Returns one line per contestant: its median time, and the ratio to the reference with its range."""
    width = max(map(len, seconds)) + 2
    lines = [f"{'':{width}}{'seconds':>9}   as fast as {reference}"]
    for name, times in seconds.items():
        ratio = with_spread(ratios(times, seconds[reference]))
        lines.append(f"{name:{width}}{statistics.median(times):9.4f}   {ratio}")
    return "\n".join(lines)


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
