"""Splits the cost of a computation, such as its seconds, FLOPs or bytes, into parts.

The computation runs unchanged while some of its callables are watched. The increase of a counter, such as a clock, is
assigned to the innermost watched callable that is running, so the parts add up to the whole.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import nn

from uncrowd.models import stage as stage_module
from uncrowd.models.channel_weighting import ChannelMask
from uncrowd.models.dynamic_conv import DynamicConv
from uncrowd.models.feedforward import FeedForward
from uncrowd.models.interaction import OutLayer
from uncrowd.models.sparse_rcnn import SparseRCNN

REST = "the rest"
NORMALISING, BACKBONE, PYRAMID = "normalising images", "backbone", "pyramid"
POOLING, ATTENTION = "RoIAlign", "self attention"
KERNELS, DYNAMIC = "kernels from queries", "dynamic convolution"
MASKS, RESIDUALS = "masks", "projected queries"
OUT, FEEDFORWARD, TOWERS = "out layers", "feed-forward", "towers, logits, deltas"
OF_STAGES = "the rest of the stages"

# In the order in which they process an image.
MODEL_PARTS = (
    NORMALISING,
    BACKBONE,
    PYRAMID,
    POOLING,
    ATTENTION,
    KERNELS,
    DYNAMIC,
    MASKS,
    RESIDUALS,
    OUT,
    FEEDFORWARD,
    TOWERS,
    OF_STAGES,
    REST,
)
_OF_TYPE: tuple[tuple[type[nn.Module], str], ...] = (
    (DynamicConv, DYNAMIC),
    (ChannelMask, MASKS),
    (OutLayer, OUT),
    (FeedForward, FEEDFORWARD),
)
_OF_NAME = {
    "attention": ATTENTION,
    "attention_norm": ATTENTION,
    "mask_norm": MASKS,
    "residual": RESIDUALS,
    "class_tower": TOWERS,
    "box_tower": TOWERS,
    "class_logits": TOWERS,
    "box_deltas": TOWERS,
}


class Watched(NamedTuple):
    """A callable, given by its owner (a module, a class, an object) and its name there, and the part it belongs to."""

    owner: Any
    name: str
    part: str


class Parts:
    """Adds up the increase of `read()` during each part."""

    def __init__(self, read: Callable[[], float]):
        self._read = read
        self._running = [REST]
        self._last = 0.0
        self.of_part: Counter[str] = Counter()

    @contextmanager
    def watching(self, watched: Iterable[Watched]) -> Iterator[None]:
        """Watches these callables within the context; all other work in it belongs to `REST`."""
        with ExitStack() as stack:
            for owner, name, part in watched:
                stack.enter_context(patch.object(owner, name, self.within(part, getattr(owner, name))))
            self._last = self._read()
            yield
            self._charge()

    def within(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the callable, watched as this part."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._charge()
            self._running.append(part)
            try:
                return call(*args, **kwargs)
            finally:
                self._charge()
                self._running.pop()

        return watched

    def _charge(self) -> None:
        now = self._read()
        self.of_part[self._running[-1]] += now - self._last  # pyright: ignore[reportArgumentType]
        self._last = now


def clock() -> float:
    """Returns the time in seconds after the device has finished, so that each part includes the work it launched."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter()


def parts_of(model: SparseRCNN) -> list[Watched]:
    """Returns the callables of our model to watch, with their parts of `MODEL_PARTS`."""
    watched = [
        Watched(model, "normalise", NORMALISING),
        Watched(model.backbone, "forward", BACKBONE),
        Watched(model.pyramid, "forward", PYRAMID),
        Watched(model.head, "forward", OF_STAGES),
        Watched(stage_module, "as_rows", POOLING),
        Watched(stage_module, "roi_align", POOLING),
    ]
    for name, module in model.head.named_modules():
        if isinstance(module, DynamicConv):
            watched += [Watched(module, "reducing", KERNELS), Watched(module, "expanding", KERNELS)]
        part = _OF_NAME.get(name.rpartition(".")[2])
        part = part or next((part for kind, part in _OF_TYPE if isinstance(module, kind)), None)
        if part is not None:
            watched.append(Watched(module, "forward", part))
    return watched
