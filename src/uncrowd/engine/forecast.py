"""Forecasts the hours and the memory of a training from its first steps."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from uncrowd.devices import wait_for
from uncrowd.words import counted

# The first step is not timed: it also compiles kernels, starts the loading processes and creates the optimiser's state.
UNTIMED, TIMED = 1, 2


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What the rest of a run will take if all steps are like those that were measured.

    images: the number in a step, over all ranks. steps, evaluations: how many are left; evaluations are not part of
    `hours`. seconds: the time of a step with the wait for its images. memory: the bytes at the peak, of the GPU or, on
    a CPU, of this process; None if the system does not tell. size: the largest (height, width) that images were padded
    to.
    """

    images: int
    steps: int
    evaluations: int
    seconds: float
    memory: int | None
    size: tuple[int, int]

    @property
    def hours(self) -> float:
        """The hours of all remaining steps, without evaluations."""
        return self.steps * self.seconds / 3600

    def __str__(self) -> str:
        """Returns the forecast in one line."""
        height, width = self.size
        gib = None if self.memory is None else f"{self.memory / 2**30:.1f} GiB of memory"
        memory = "" if gib is None else f", and the first {UNTIMED + TIMED} took {gib} at the peak"
        return (
            f"forecast: {counted(self.steps, 'step')} of {counted(self.images, 'image')} at {self.seconds:.2f} s each "
            f"take {duration(self.hours)}{memory}. Not included: {counted(self.evaluations, 'evaluation')}, images "
            f"padded to more than {height} x {width}, steps with more queries, and the memory of processes that load "
            "images."
        )


class StepTimer:
    """Times the first steps of a run in this process. clock: returns seconds."""

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.perf_counter):
        self._device, self._clock = device, clock
        self._steps = 0
        self._since = 0.0
        self._size = (0, 0)

    def step_done(self, size: tuple[int, int]) -> tuple[float, tuple[int, int]] | None:
        """Counts one step, whose images were padded to (height, width) `size`.

        After the last timed step it returns the mean seconds of a step and the largest size so far, otherwise None. It
        waits for the GPU only before and after the timed steps.
        """
        self._steps += 1
        if self._steps > UNTIMED + TIMED:
            return None
        self._size = max(self._size, size, key=lambda size: size[0] * size[1])
        if self._steps not in (UNTIMED, UNTIMED + TIMED):
            return None
        wait_for(self._device)
        if self._steps == UNTIMED:
            self._since = self._clock()
            return None
        return (self._clock() - self._since) / TIMED, self._size


def peak_memory(device: torch.device) -> int | None:
    """Returns the peak of memory so far in bytes: what torch allocated on a GPU, or what this process held on a CPU.

    None where nobody counts it: on Windows, and on a Mac's GPU.
    """
    if device.type == "mps":
        return None
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes, Linux kilobytes


def duration(hours: float) -> str:
    """Returns a time in words: "2.5 hours", "12 minutes", "under a minute"."""
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes" if hours >= 1 / 60 else "under a minute"
