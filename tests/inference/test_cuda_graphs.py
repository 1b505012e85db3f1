"""Which inputs a graph is captured for, replayed for, and refused for. On a GPU itself: see test_on_gpu.py."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from uncrowd.inference import cuda_graphs as module
from uncrowd.inference.cuda_graphs import CudaGraph, CudaGraphs
from uncrowd.structures import Decoded

SIZES = torch.tensor([[4, 6]])


class Detect:
    """Detects what it is given, and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: Tensor, sizes: Tensor) -> Decoded:
        self.calls += 1
        boxes = images.flatten(1)[:, :4].float()
        return Decoded(boxes=boxes[:, None], scores=boxes[:, :1], labels=sizes[:, :1].clone())


@pytest.fixture(autouse=True)
def capture_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph whose replay computes again, into the same tensors."""

    def capture(self: CudaGraphs, images: Tensor, sizes: Tensor) -> CudaGraph:
        inputs = images.clone(), sizes.clone()
        outputs, detect = self._detect(*inputs), self._detect
        assert isinstance(detect, Detect)

        def replay() -> None:
            calls = detect.calls
            for kept, new in zip(outputs, detect(*inputs), strict=True):
                kept.copy_(new)
            detect.calls = calls

        done = SimpleNamespace(synchronize=lambda: None)
        self._place = SimpleNamespace(alone=lambda _: nullcontext(), done=done)  # pyright: ignore[reportAttributeAccessIssue]
        return CudaGraph(SimpleNamespace(replay=replay), inputs, outputs)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(CudaGraphs, "_capture", capture)


def random_images(start: int, width: int = 6) -> Tensor:
    return torch.arange(start, start + 12 * width, dtype=torch.uint8).view(1, 3, 4, width)


def test_the_second_of_a_shape_is_captured_and_later_ones_replayed() -> None:
    detect = Detect()
    graphs = CudaGraphs(detect)
    found = [graphs(random_images(start), SIZES) for start in range(5)]
    assert detect.calls == 2
    assert [decoded.scores.item() for decoded in found] == [0, 1, 2, 3, 4]  # of each its own: they are copies
    graphs(random_images(0, width=7), SIZES)
    graphs(random_images(0, width=7).float(), SIZES)
    assert detect.calls == 4
    assert graphs(random_images(9), SIZES).scores.item() == 9
    assert detect.calls == 4


def test_beyond_so_many_shapes_it_is_computed_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GRAPHS", 1)
    detect = Detect()
    graphs = CudaGraphs(detect)
    for _ in range(3):
        for width in (6, 7):
            graphs(random_images(0, width), SIZES)
    assert detect.calls == 2 + 3


def test_threads_get_what_they_asked_for() -> None:
    detect = Detect()
    graphs = CudaGraphs(detect)
    for _ in range(2):
        graphs(random_images(0), SIZES)
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda start: graphs(random_images(start), SIZES).scores.item(), 50 * [*range(20)])
        assert list(found) == 50 * [*range(20)]


def test_a_copy_has_no_graphs() -> None:
    graphs = CudaGraphs(Detect())
    for _ in range(2):
        graphs(random_images(0), SIZES)
    assert (len(graphs), len(deepcopy(graphs))) == (1, 0)


def test_what_cannot_be_captured_is_computed_as_usual_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the other graphs are given up, because their memory may be what is short; they are captured again."""
    detect = Detect()
    graphs = CudaGraphs(detect)
    for _ in range(2):
        graphs(random_images(0), SIZES)
    capture = CudaGraphs._capture
    monkeypatch.setattr(CudaGraphs, "_capture", refuse)
    found = [graphs(random_images(start, width=7), SIZES).scores.item() for start in range(4)]
    assert found == [0, 1, 2, 3]
    assert detect.calls == 2 + 4
    assert len(graphs) == 0
    monkeypatch.setattr(CudaGraphs, "_capture", capture)
    assert graphs(random_images(5), SIZES).scores.item() == 5
    assert len(graphs) == 1


def refuse(*_: object) -> CudaGraph:
    raise RuntimeError("CUDA error: operation not permitted when stream is capturing")


class Hungry(Detect):
    """Lacks memory for what is wider than 7 as long as graphs hold some, and always for what is wider than 8."""

    graphs: CudaGraphs

    def __call__(self, images: Tensor, sizes: Tensor) -> Decoded:
        width = images.shape[-1]
        if width > 8 or (width > 7 and len(self.graphs)):
            raise torch.OutOfMemoryError
        return super().__call__(images, sizes)


def test_where_memory_is_short_graphs_are_given_up_for_good() -> None:
    """None is left and none is captured again; where memory is short without graphs, the error is raised."""
    detect = Hungry()
    graphs = detect.graphs = CudaGraphs(detect)
    for _ in range(2):
        graphs(random_images(0), SIZES)
    assert len(graphs) == 1
    assert graphs(random_images(7, width=8), SIZES).scores.item() == 7
    for start in range(3):
        assert graphs(random_images(start), SIZES).scores.item() == start
    assert len(graphs) == 0
    with pytest.raises(torch.OutOfMemoryError):
        graphs(random_images(0, width=9), SIZES)
