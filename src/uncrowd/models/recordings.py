"""CUDA graphs: what a model does with inputs of one shape, recorded once and from then on replayed at one call.

A GPU does the thousand small operations of a picture faster than the host can ask for them one by one.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from uncrowd.structures import Decoded

MOST = 32  # shapes; each holds some memory, and data sets have more shapes than are worth it


class Recording(NamedTuple):
    """A graph, the tensors it reads and those it writes."""

    graph: torch.cuda.CUDAGraph
    given: tuple[Tensor, Tensor]
    found: Decoded


class Recordings:
    """What a model did with inputs of each shape.

    The first inputs of a shape are computed as usual, by which libraries choose their algorithms and kernels are
    compiled; the second are recorded. So the work must depend on shapes alone, without a look at a value on the host,
    and weights must stay where they are. After `MOST` shapes further ones are computed as usual. Recordings share
    their memory, so what is returned is a copy. Not for two threads at once.
    """

    def __init__(self) -> None:
        self._seen: Counter[tuple[Any, ...]] = Counter()
        self._recordings: dict[tuple[Any, ...], Recording] = {}
        self._pool: Any = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Recordings":
        """A copy of the model has weights of its own, of which nothing is recorded yet."""
        return Recordings()

    def __len__(self) -> int:
        """Shapes that are recorded."""
        return len(self._recordings)

    def __call__(self, look: Callable[[Tensor, Tensor], Decoded], images: Tensor, sizes: Tensor) -> Decoded:
        """Returns `look(images, sizes)`, always of the same function.

        images: (b, 3, h, w); sizes: (b, 2). Both are on one GPU; gradients are off.
        """
        shape = (images.shape, images.dtype, images.device, *_autocast())
        if shape not in self._recordings:
            self._seen[shape] += 1
            if self._seen[shape] == 1 or len(self) >= MOST:
                return look(images, sizes)
            self._recordings[shape] = self._record(look, images, sizes)
        recording = self._recordings[shape]
        for kept, new in zip(recording.given, (images, sizes), strict=True):
            kept.copy_(new, non_blocking=True)
        recording.graph.replay()
        return Decoded(*(tensor.clone() for tensor in recording.found))

    def _record(self, look: Callable[[Tensor, Tensor], Decoded], images: Tensor, sizes: Tensor) -> Recording:
        enabled, dtype = _autocast()
        given = images.clone(), sizes.clone()
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(images.device)
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        # What autocast keeps of earlier casts would be gone when the graph is replayed; other threads go on loading.
        with (
            torch.cuda.device(images.device),
            torch.autocast("cuda", dtype=dtype, enabled=enabled, cache_enabled=False),
            torch.cuda.graph(graph, self._pool, stream, capture_error_mode="thread_local"),
        ):
            found = look(*given)
        return Recording(graph, given, found)


def _autocast() -> tuple[bool, torch.dtype]:
    return torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
