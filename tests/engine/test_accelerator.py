"""A process trains on the device that was chosen."""

from collections.abc import Iterator

import pytest
import torch
from accelerate.state import AcceleratorState

from uncrowd.engine.accelerator import build_accelerator
from uncrowd.errors import InputError


@pytest.fixture
def fresh_state() -> Iterator[None]:
    """Lets accelerate choose again, because it keeps its choice in the process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("fresh_state")
def test_a_single_process_trains_on_the_chosen_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert build_accelerator().device == torch.device("mps")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert build_accelerator("cuda:1").device == torch.device("cuda:1")


@pytest.mark.parametrize("device", ["mps", "cuda:1"])
def test_several_processes_share_no_device(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match=f"^Several processes cannot train on one device, {device}; give 'cuda', "):
        build_accelerator(device)
