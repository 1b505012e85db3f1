"""CUDA graphs: what a model does with inputs of one shape, recorded once and from then on replayed at one call.

A GPU does the thousand small operations of an image faster than the host can ask for them one by one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor

from uncrowd.structures import Decoded

MOST = 32  # shapes; each holds some memory, and datasets have more shapes than are worth it


class Recording(NamedTuple):
    """A graph, the tensors it reads and those it writes."""

    graph: torch.cuda.CUDAGraph
    given: tuple[Tensor, Tensor]
    found: Decoded


class Recordings:
    """What a model did with inputs of each shape.

    The first inputs of a shape are computed as usual; with the second it is recorded, and from then on replayed. So the
    work must depend on shapes alone, and weights must stay where they are. What cannot be recorded, because it looks at
    a value on the host or memory is short, is computed as usual for good, and so are further shapes after `MOST`.
    Recordings share their memory, so one is replayed at a time and what is returned is a copy; where what is computed
    as usual lacks that memory, they are given up for good. (torch 2.11 does not let go of that of one that failed.)
    """

    def __init__(self) -> None:
        self._seen: set[tuple[Any, ...]] = set()
        self._refused: set[tuple[Any, ...]] = set()
        self._recordings: dict[tuple[Any, ...], Recording] = {}
        self._place: _Place | None = None
        self._turn = Lock()

    def __reduce__(self) -> tuple[type["Recordings"], tuple[()]]:
        """A copy of the model has weights of its own, of which nothing is recorded yet."""
        return Recordings, ()

    def __len__(self) -> int:
        """Shapes that are recorded."""
        return len(self._recordings)

    def __call__(self, look: Callable[[Tensor, Tensor], Decoded], images: Tensor, sizes: Tensor) -> Decoded:
        """Returns `look(images, sizes)`, always of the same function.

        images: (b, 3, h, w); sizes: (b, 2). Both are on one GPU; gradients are off.
        """
        shape = (images.shape, images.dtype, images.device, *_autocast())
        with self._turn:
            if shape not in self._recordings and self._is_due(shape):
                try:
                    self._recordings[shape] = self._record(look, images, sizes)
                except RuntimeError:
                    self._refused.add(shape)
                    self._forget()  # their memory may be what was short
            recording = self._recordings.get(shape)
            if recording is not None:
                return self._replay(recording, images, sizes)
        taken = len(self) > 0
        try:
            return look(images, sizes)
        except torch.OutOfMemoryError:
            if not taken:
                raise
        with self._turn:
            self._refused |= self._recordings.keys()
            self._forget()
        return look(images, sizes)

    def _forget(self) -> None:
        if self._place is not None:
            self._place.done.synchronize()  # the last replay may still read what is given up
        self._recordings.clear()
        self._place = None

    def _is_due(self, shape: tuple[Any, ...]) -> bool:
        seen = shape in self._seen
        self._seen.add(shape)
        return seen and shape not in self._refused and len(self) < MOST

    def _record(self, look: Callable[[Tensor, Tensor], Decoded], images: Tensor, sizes: Tensor) -> Recording:
        enabled, dtype = _autocast()
        given = images.clone(), sizes.clone()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(images.device):
            place = self._place = self._place or _Place(
                torch.cuda.graph_pool_handle(), torch.cuda.Stream(), torch.cuda.Event()
            )
            look(*given)  # libraries begin anew in each thread, which must not be recorded
            with (
                torch.cuda.stream(torch.cuda.current_stream()),  # torch leaves its own behind where recording fails
                # what is kept of earlier casts would be gone at a replay
                torch.autocast("cuda", dtype=dtype, enabled=enabled, cache_enabled=False),
                # other threads go on loading images
                torch.cuda.graph(graph, place.pool, place.stream, capture_error_mode="thread_local"),
            ):
                found = look(*given)
        return Recording(graph, given, found)

    def _replay(self, recording: Recording, images: Tensor, sizes: Tensor) -> Decoded:
        assert self._place is not None
        with self._place.alone(images.device):
            for kept, new in zip(recording.given, (images, sizes), strict=True):
                kept.copy_(new, non_blocking=True)
            recording.graph.replay()
            return Decoded(*(tensor.clone() for tensor in recording.found))


class _Place(NamedTuple):
    """Where all are recorded: memory is shared only by what is recorded on one stream."""

    pool: Any
    stream: torch.cuda.Stream
    done: torch.cuda.Event  # with the last replay

    @contextmanager
    def alone(self, device: torch.device) -> Iterator[None]:
        """What is asked of the device within begins when the last replay is done, on whichever stream that was."""
        with torch.cuda.device(device):
            self.done.wait()
            try:
                yield
            finally:
                self.done.record()


def _autocast() -> tuple[bool, torch.dtype]:
    return torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
