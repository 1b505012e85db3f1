"""CUDA graphs for inference: the operations for inputs of one shape are captured once and then replayed by one call.

This is faster because a GPU finishes the thousand small operations of an image sooner than the host can launch them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor

from uncrowd.structures import Decoded

MAX_GRAPHS = 32  # each keeps some memory, and a dataset has many shapes that occur too rarely to need a graph


class CudaGraph(NamedTuple):
    """A captured graph, the tensors it reads and those it writes."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, Tensor]
    outputs: Decoded


class CudaGraphs:
    """A detector's `detect`, with one CUDA graph for each shape of its inputs.

    The first inputs of a shape are computed as usual, the second ones capture the graph, and further ones replay it. So
    the operations must depend on shapes only, and the model's weights must stay where they are in memory.

    A shape is always computed as usual if its capture fails (an operation waits for a value on the host, or memory is
    short), or if there are already `MAX_GRAPHS` graphs. All graphs share their memory, so one replays at a time and
    outputs are copies. If a computation without a graph runs out of memory, all graphs are dropped.
    (torch 2.11 keeps the memory of a capture that failed.)
    """

    def __init__(self, detect: Callable[[Tensor, Tensor], Decoded]) -> None:
        self._detect = detect
        self._seen: set[tuple[Any, ...]] = set()
        self._refused: set[tuple[Any, ...]] = set()
        self._graphs: dict[tuple[Any, ...], CudaGraph] = {}
        self._place: _Place | None = None
        self._lock = Lock()

    def __reduce__(self) -> tuple[type["CudaGraphs"], tuple[Callable[[Tensor, Tensor], Decoded]]]:
        """Copies and pickles without the graphs: a copied model has its weights elsewhere."""
        return CudaGraphs, (self._detect,)

    def __len__(self) -> int:
        """The number of shapes that have a graph."""
        return len(self._graphs)

    def __call__(self, images: Tensor, sizes: Tensor) -> Decoded:
        """Returns `detect(images, sizes)`.

        images: (b, 3, h, w); sizes: (b, 2). Both are on one GPU, and gradients are off.
        """
        shape = (images.shape, images.dtype, images.device, *_autocast())
        with self._lock:
            if shape not in self._graphs and self._is_due(shape):
                try:
                    self._graphs[shape] = self._capture(images, sizes)
                except RuntimeError:
                    self._refused.add(shape)
                    self._give_up_graphs()  # their memory may be what was short
            graph = self._graphs.get(shape)
            if graph is not None:
                return self._replay(graph, images, sizes)
        graphs_hold_memory = len(self) > 0
        try:
            return self._detect(images, sizes)
        except torch.OutOfMemoryError:
            if not graphs_hold_memory:
                raise
        with self._lock:
            self._refused |= self._graphs.keys()
            self._give_up_graphs()
        return self._detect(images, sizes)

    def _give_up_graphs(self) -> None:
        if self._place is not None:
            self._place.done.synchronize()  # the last replay may still read its memory
        self._graphs.clear()
        self._place = None

    def _is_due(self, shape: tuple[Any, ...]) -> bool:
        seen = shape in self._seen
        self._seen.add(shape)
        return seen and shape not in self._refused and len(self) < MAX_GRAPHS

    def _capture(self, images: Tensor, sizes: Tensor) -> CudaGraph:
        enabled, dtype = _autocast()
        inputs = images.clone(), sizes.clone()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(images.device):
            place = self._place = self._place or _Place(
                torch.cuda.graph_pool_handle(), torch.cuda.Stream(), torch.cuda.Event()
            )
            self._detect(*inputs)  # libraries initialise themselves in each thread, which a capture does not allow
            with (
                torch.cuda.stream(torch.cuda.current_stream()),  # torch leaves its own current if a capture fails
                # a replay could not use casts that autocast has cached
                torch.autocast("cuda", dtype=dtype, enabled=enabled, cache_enabled=False),
                # so that other threads can load images meanwhile
                torch.cuda.graph(graph, place.pool, place.stream, capture_error_mode="thread_local"),
            ):
                outputs = self._detect(*inputs)
        return CudaGraph(graph, inputs, outputs)

    def _replay(self, graph: CudaGraph, images: Tensor, sizes: Tensor) -> Decoded:
        assert self._place is not None
        with self._place.alone(images.device):
            for kept, new in zip(graph.inputs, (images, sizes), strict=True):
                kept.copy_(new, non_blocking=True)
            graph.graph.replay()
            return Decoded(*(tensor.clone() for tensor in graph.outputs))


class _Place(NamedTuple):
    """Where all graphs are captured: only graphs of one stream can share a memory pool."""

    pool: Any
    stream: torch.cuda.Stream
    done: torch.cuda.Event  # recorded after each replay

    @contextmanager
    def alone(self, device: torch.device) -> Iterator[None]:
        """Makes work that is launched within wait until the last replay is done, on whichever stream that was."""
        with torch.cuda.device(device):
            self.done.wait()
            try:
                yield
            finally:
                self.done.record()


def _autocast() -> tuple[bool, torch.dtype]:
    return torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
