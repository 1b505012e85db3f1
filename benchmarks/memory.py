"""Measures the peak memory of a call in a process of its own, so that memory kept from other calls does not count."""

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

# Modules that the fork server imports once; the processes that measure are forked from it.
PRELOADED = [
    "torch",
    "torchvision",
    "timm",
    "accelerate",
    "scipy.optimize",
    "tensorboard.compat.proto.event_pb2",
    "tyro",
]


def peak(call: Callable[..., object], *args: object) -> int | None:
    """Returns the peak memory of `call(*args)` in bytes, or None where it cannot be measured.

    If there is a GPU, this is its memory as torch's allocator counts it; otherwise it is that of `peak_on_host`.
    """
    return _in_fresh_process(_peak_on_gpu, call, args) if torch.cuda.is_available() else peak_on_host(call, *args)


def peak_on_host(call: Callable[..., object], *args: object) -> int | None:
    """Returns the peak of the process's memory beyond what it had before the call, or None if this is not Linux."""
    return _in_fresh_process(_peak_of_process, call, args) if sys.platform == "linux" else None


def _in_fresh_process(
    measure: Callable[[Callable[..., object], tuple[object, ...]], int],
    call: Callable[..., object],
    args: tuple[object, ...],
) -> int:
    """Runs `measure(call, args)` in a new process. `call` and its arguments are pickled, and its result is dropped."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    threads = torch.get_num_threads()
    with ProcessPoolExecutor(1, context, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        return pool.submit(measure, call, args).result()


def _peak_on_gpu(call: Callable[..., object], args: tuple[object, ...]) -> int:
    call(*args)
    return torch.cuda.max_memory_allocated()


def _peak_of_process(call: Callable[..., object], args: tuple[object, ...]) -> int:
    before = _of_process("VmRSS")
    call(*args)
    return _of_process("VmHWM") - before


def _of_process(field: str) -> int:
    # `getrusage` would not do: a process inherits its maximum from its parent.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
