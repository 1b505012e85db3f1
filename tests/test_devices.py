"""Which device is chosen, and what a Mac's GPU needs in another way. torch only says here that the devices exist."""

import pytest
import torch
from torch import Tensor

from uncrowd.devices import choose_device, send, wait_for
from uncrowd.errors import InputError

CPU, MPS, CUDA = torch.device("cpu"), torch.device("mps"), torch.device("cuda")


@pytest.fixture
def there(monkeypatch):
    """`there(gpus=2, mps=True)`: makes torch say that it finds these devices."""

    def say(*, gpus: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
        monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
        monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)

    return say


def test_the_best_device_is_the_default(there):
    there()
    assert choose_device() == CPU
    there(mps=True)
    assert choose_device() == MPS
    there(gpus=2, mps=True)
    assert choose_device() == CUDA  # that which is current


def test_a_device_can_be_named(there):
    there(gpus=2, mps=True)
    for name in ("cpu", "mps", "cuda", "cuda:0", "cuda:1"):
        assert choose_device(name) == choose_device(torch.device(name)) == torch.device(name)


@pytest.mark.parametrize("name", ["cuda:2", "cuda:-1", "cuda:", "cuda:01", "coda", "meta", "", "CPU"])
def test_any_other_is_refused_with_those_that_are_there(there, name):
    there(gpus=2, mps=True)
    with pytest.raises(InputError) as caught:
        choose_device(name)
    assert str(caught.value) == (
        f"There is no device {name!r} here; give 'cpu', 'mps', 'cuda:0', 'cuda:1', or no device."
    )


def test_only_a_gpu_of_nvidia_is_copied_to_meanwhile(monkeypatch):
    asked = []

    def to(tensor: Tensor, device: torch.device, *, non_blocking: bool) -> Tensor:
        asked.append((device, non_blocking))
        return tensor

    monkeypatch.setattr(Tensor, "to", to)
    for device in (CPU, MPS, CUDA):
        send(torch.zeros(1), device)
    assert asked == [(CPU, False), (MPS, False), (CUDA, True)]


def test_a_clock_is_read_when_the_device_is_done(monkeypatch):
    waited = []
    monkeypatch.setattr("torch.mps.synchronize", lambda: waited.append(MPS))
    monkeypatch.setattr("torch.cuda.synchronize", waited.append)
    for device in (CPU, MPS, CUDA):
        wait_for(device)
    assert waited == [MPS, CUDA]
