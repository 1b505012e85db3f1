"""When a CUDA graph is captured, replayed and refused. tests/models/test_on_gpu.py has the tests on a GPU."""

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
    """Returns the first pixels as detections, and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: Tensor, sizes: Tensor) -> Decoded:
        self.calls += 1
        boxes = images.flatten(1)[:, :4].float()
        return Decoded(boxes=boxes[:, None], scores=boxes[:, :1], labels=sizes[:, :1].clone())


@pytest.fixture(autouse=True)
def capture_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the capture by a graph whose replay computes again, into the same tensors."""

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
    assert [decoded.scores.item() for decoded in found] == [
        0,
        1,
        2,
        3,
        4,
    ]  # each has its own, because outputs are copies
    graphs(random_images(0, width=7), SIZES)
    graphs(random_images(0, width=7).float(), SIZES)
    assert detect.calls == 4
    assert graphs(random_images(9), SIZES).scores.item() == 9
    assert detect.calls == 4


def test_further_shapes_are_computed_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GRAPHS", 1)
    detect = Detect()
    graphs = CudaGraphs(detect)
    for _ in range(3):
        for width in (6, 7):
            graphs(random_images(0, width), SIZES)
    assert detect.calls == 2 + 3


def test_each_thread_gets_its_own_result() -> None:
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


def test_a_shape_that_cannot_be_captured_is_always_computed_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other graphs are dropped, because their memory may be what is short; they are captured again."""
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
    """Runs out of memory for images wider than 7 while there are graphs, and for images wider than 8 always."""

    graphs: CudaGraphs

    def __call__(self, images: Tensor, sizes: Tensor) -> Decoded:
        width = images.shape[-1]
        if width > 8 or (width > 7 and len(self.graphs)):
            raise torch.OutOfMemoryError
        return super().__call__(images, sizes)


def test_if_memory_is_short_all_graphs_are_dropped() -> None:
    """None is left and none is captured again. If memory is short even without graphs, the error is raised."""
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
