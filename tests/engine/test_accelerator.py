"""A process trains on the device that was chosen, and a rank that loses another one says so."""

from collections.abc import Iterator

import pytest
import torch
from accelerate.state import AcceleratorState
from torch.distributed import DistBackendError

from uncrowd.engine.accelerator import build_accelerator, peers
from uncrowd.errors import InputError, PeerLostError

GLOO = "[../third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:22914"


@pytest.mark.parametrize("error", [RuntimeError(GLOO), DistBackendError("NCCL error: remote process exited")])
def test_a_lost_connection_is_one_sentence(error: RuntimeError) -> None:
    with pytest.raises(PeerLostError, match=r"^rank 0 of 2 lost its connection to another rank, "), peers(0, 2):
        raise error


@pytest.mark.parametrize(("ranks", "error"), [(2, RuntimeError("shape mismatch")), (1, RuntimeError(GLOO))])
def test_other_errors_stay_as_they_are(ranks: int, error: RuntimeError) -> None:
    with pytest.raises(RuntimeError) as caught, peers(0, ranks):
        raise error
    assert caught.value is error


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
