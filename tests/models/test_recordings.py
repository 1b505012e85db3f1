"""What is recorded when: by shape, on second sight, as often as there is room. On a GPU: see test_on_gpu.py."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from uncrowd.models import recordings as module
from uncrowd.models.recordings import Recording, Recordings
from uncrowd.structures import Decoded

SIZES = torch.tensor([[4, 6]])


class Look:
    """Finds what it is given, and counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: Tensor, sizes: Tensor) -> Decoded:
        self.calls += 1
        boxes = images.flatten(1)[:, :4].float()
        return Decoded(boxes=boxes[:, None], scores=boxes[:, :1], labels=sizes[:, :1].clone())


@pytest.fixture(autouse=True)
def record_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph that computes anew what it would replay, into the same tensors."""

    def record(self: Recordings, look: Look, images: Tensor, sizes: Tensor) -> Recording:
        given = images.clone(), sizes.clone()
        found = look(*given)

        def replay() -> None:
            calls = look.calls
            for kept, new in zip(found, look(*given), strict=True):
                kept.copy_(new)
            look.calls = calls

        done = SimpleNamespace(synchronize=lambda: None)
        self._place = SimpleNamespace(alone=lambda _: nullcontext(), done=done)  # pyright: ignore[reportAttributeAccessIssue]
        return Recording(SimpleNamespace(replay=replay), given, found)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Recordings, "_record", record)


def random_images(start: int, width: int = 6) -> Tensor:
    return torch.arange(start, start + 12 * width, dtype=torch.uint8).view(1, 3, 4, width)


def test_the_second_of_a_shape_is_recorded_and_later_ones_replayed() -> None:
    look, recordings = Look(), Recordings()
    found = [recordings(look, random_images(start), SIZES) for start in range(5)]
    assert look.calls == 2
    assert [decoded.scores.item() for decoded in found] == [0, 1, 2, 3, 4]  # of each its own: they are copies
    recordings(look, random_images(0, width=7), SIZES)
    recordings(look, random_images(0, width=7).float(), SIZES)
    assert look.calls == 4
    assert recordings(look, random_images(9), SIZES).scores.item() == 9
    assert look.calls == 4


def test_beyond_so_many_shapes_it_is_computed_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    look, recordings = Look(), Recordings()
    for _ in range(3):
        for width in (6, 7):
            recordings(look, random_images(0, width), SIZES)
    assert look.calls == 2 + 3


def test_threads_get_what_they_asked_for() -> None:
    look, recordings = Look(), Recordings()
    for _ in range(2):
        recordings(look, random_images(0), SIZES)
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda start: recordings(look, random_images(start), SIZES).scores.item(), 50 * [*range(20)])
        assert list(found) == 50 * [*range(20)]


def test_a_copy_has_recorded_nothing() -> None:
    look, recordings = Look(), Recordings()
    for _ in range(2):
        recordings(look, random_images(0), SIZES)
    deepcopy(recordings)(look, random_images(0), SIZES)
    assert look.calls == 3


def test_what_cannot_be_recorded_is_computed_as_usual_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was recorded is given up, for its memory, and recorded anew."""
    look, recordings = Look(), Recordings()
    for _ in range(2):
        recordings(look, random_images(0), SIZES)
    record = Recordings._record
    monkeypatch.setattr(Recordings, "_record", refuse)
    found = [recordings(look, random_images(start, width=7), SIZES).scores.item() for start in range(4)]
    assert found == [0, 1, 2, 3]
    assert look.calls == 2 + 4
    assert len(recordings) == 0
    monkeypatch.setattr(Recordings, "_record", record)
    assert recordings(look, random_images(5), SIZES).scores.item() == 5
    assert len(recordings) == 1


def refuse(*_: object) -> Recording:
    raise RuntimeError("CUDA error: operation not permitted when stream is capturing")


def test_memory_that_is_short_is_taken_from_recordings_for_good() -> None:
    """Of what is recorded nothing is left, and it is not recorded again; without recordings it stays short."""
    look, recordings = Look(), Recordings()
    for _ in range(2):
        recordings(look, random_images(0), SIZES)
    assert len(recordings) == 1

    def hungry(images: Tensor, sizes: Tensor) -> Decoded:
        if len(recordings) or images.shape[-1] > 8:
            raise torch.OutOfMemoryError
        return look(images, sizes)

    assert recordings(hungry, random_images(7, width=8), SIZES).scores.item() == 7
    for start in range(3):
        assert recordings(look, random_images(start), SIZES).scores.item() == start
    assert len(recordings) == 0
    with pytest.raises(torch.OutOfMemoryError):
        recordings(hungry, random_images(0, width=9), SIZES)
