"""A run says that the processor is busy if the threads of torch would often wait for a core."""

import pytest
import torch

from uncrowd.engine.busy import busy_note, busy_now


@pytest.mark.parametrize(
    ("load", "threads", "cores", "policy", "said"),
    [
        (0.3, 2, 2, None, False),  # nobody else
        (1.1, 2, 2, None, True),  # one more than there are cores
        (1.1, 2, 2, "passive", False),
        (3.0, 1, 2, None, False),  # one thread waits for nobody
        (1.1, 8, 16, None, False),  # free cores are left
        (9.5, 8, 16, "active", True),
    ],
)
def test_it_is_said_where_threads_wait_for_cores(
    load: float, threads: int, cores: int, policy: str | None, said: bool
) -> None:
    note = busy_note(load, threads, cores, policy)
    assert (note is not None) == said
    if note is not None:
        assert f"a load of {load} on {cores} cores" in note
        assert "OMP_WAIT_POLICY=passive" in note


def test_a_gpu_does_not_care() -> None:
    assert busy_now(torch.device("cuda")) is None
