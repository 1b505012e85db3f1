"""What a test of an exported detector needs to know of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jaxtyping

from uncrowd.data.transforms import ResizeConfig
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.structures import Categories


class Exported(NamedTuple):
    """A detector, and what `uncrowd export` made of its weights and said."""

    model: SparseRCNN
    categories: Categories
    resize: ResizeConfig
    weights: Path
    onnx: Path
    said: str


@contextmanager
def symbolic_shapes() -> Iterator[None]:
    """Switches shape checks off: `torch.export` passes symbols as sizes, which a check would turn into numbers."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
