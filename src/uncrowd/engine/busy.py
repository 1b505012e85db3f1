"""Says when a processor that is busy with other work would make training much slower than it has to be."""

import os

import torch


def busy_note(load: float, threads: int, cores: int, policy: str | None) -> str | None:
    """Returns a note when the threads of torch would often wait for a core; None otherwise.

    load: how many threads of others want to run, as `os.getloadavg` counts them. policy: OMP_WAIT_POLICY of the
    environment. Unless it is passive, a thread that waits for another one keeps its core busy meanwhile. Then a thread
    that shares its core with other work delays all others.
    """
    if threads == 1 or policy == "passive" or threads + load < cores + 0.75:
        return None
    return (
        f"NOTE: the processor is busy with other work (a load of {load:.1f} on {cores} cores), which slows training "
        f"down more than in proportion; set OMP_WAIT_POLICY=passive in the environment, or OMP_NUM_THREADS to fewer "
        "than the cores that are free."
    )


def busy_now(device: torch.device) -> str | None:
    """Returns `busy_note` for this process; None on a GPU, and where the system does not tell its load, as Windows."""
    if device.type != "cpu" or not hasattr(os, "getloadavg"):
        return None
    policy = os.environ.get("OMP_WAIT_POLICY")
    return busy_note(os.getloadavg()[0], torch.get_num_threads(), os.cpu_count() or 1, policy and policy.lower())
