"""The most memory that a call takes, in a process of its own: what others have used, and kept, is not in it."""

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

# Imported once, by a process that does nothing else, from which those that measure are forked.
PRELOADED = ["torch", "torchvision", "timm", "accelerate", "scipy.optimize", "torch.utils.tensorboard", "tyro"]


def peak(call: Callable[..., object], *args: object) -> int | None:
    """Bytes that were in use at most during `call(*args)`, beyond those before; None where nobody counts.

    Of a GPU's memory where there is one, as torch's allocator counts it; else of the host's, as `peak_on_host` has it.
    """
    return _in_fresh_process(_peak_on_gpu, call, args) if torch.cuda.is_available() else peak_on_host(call, *args)


def peak_on_host(call: Callable[..., object], *args: object) -> int | None:
    """The same of the process's memory, which Linux alone counts well."""
    return _in_fresh_process(_peak_of_process, call, args) if sys.platform == "linux" else None


def _in_fresh_process(
    measure: Callable[[Callable[..., object], tuple[object, ...]], int],
    call: Callable[..., object],
    args: tuple[object, ...],
) -> int:
    """`call` and its arguments are pickled; what it returns is thrown away."""
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
    # Not `getrusage`, whose maximum a process inherits from the one that started it.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
