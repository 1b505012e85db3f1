"""The form in which a detector learns: how its weights, and with them its maps, lie in memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from uncrowd.models.detector import Detector


def for_training(model: Detector, device: torch.device) -> None:
    """Lays a model out, in place, as is fastest to learn on the device.

    What it computes stays the same but for rounding. Channels lie side by side, as they do in a model that is built. On
    a processor with AVX2 and no AVX-512 they do not: there oneDNN finds the gradient of a 3 x 3 kernel up to six times
    more slowly so, and a whole step takes half as much time again.
    """
    slow = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    model.lay_out(torch.contiguous_format if slow else torch.channels_last)


@contextmanager
def laid_out_to_look(model: Detector) -> Iterator[None]:
    """Within, the model is laid out as one that is loaded: it then finds the same, to the bit."""
    layout = model.backbone.layout
    model.lay_out(torch.channels_last)
    try:
        yield
    finally:
        model.lay_out(layout)
