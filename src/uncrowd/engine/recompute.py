"""Trades time for memory: stages keep what goes into them, and the backward pass computes the rest once more."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from uncrowd.models.detector import Detector


def recompute_layers(model: Detector) -> None:
    """Changes the stages or layers of a model in place. Its names, weights and gradients stay the same.

    Copies of the model work too: a bound method is copied together with its module.
    """
    for layer in model.layers:
        layer.forward = partial(_recomputed, layer.forward)


def _recomputed(forward: Callable[..., Any], *inputs: Any) -> Any:
    return checkpoint(forward, *inputs, use_reentrant=False) if torch.is_grad_enabled() else forward(*inputs)
