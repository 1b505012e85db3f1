"""Counts the parameters and multiply-accumulates of a model, as the paper's tables do.

The conventions are those of the counter with which the paper's figures were made:
- "FLOPs" are multiply-accumulates (MACs): `torch.utils.flop_counter` counts two for each, so its sums are halved.
- A LayerNorm adds 5 per output element. Other norms, activations, RoI pooling, IoU and sums add nothing.
- Frozen batch norm has buffers and no parameters, so it is not among the parameters.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

LAYER_NORM_MACS = 5  # per output element
# Average of the padded images of COCO val, with short sides of 800 and long sides of at most 1333.
COCO_PIXELS = 904_000
# The parts whose cost depends on the number of queries and not on the size of the image.
_OF_QUERIES = ("selection", "head")


class Cost(NamedTuple):
    """parameters: including frozen ones. macs: by part (backbone, pyramid, ...), for one image of `pixels` pixels."""

    parameters: int
    macs: dict[str, int]
    pixels: int

    def macs_at(self, pixels: int) -> float:
        """Returns the multiply-accumulates of all parts for an image of another size, in pixels.

        `COCO_PIXELS` gives the paper's figures. The count of a part is scaled by the pixels unless it sees queries
        only. This is exact for convolutions but not for attention, so measure at a similar size. For windowed
        attention, a small image is a few percent off. Attention in DETR's encoder grows with the square of the pixels,
        and half of its decoder not at all: from 3% fewer pixels, the scaled count is 0.05% too low.
        """
        return sum(count * (1 if part in _OF_QUERIES else pixels / self.pixels) for part, count in self.macs.items())


def number_of_parameters(module: nn.Module) -> int:
    """Returns how many parameters the module has, frozen ones among them."""
    return sum(parameter.numel() for parameter in module.parameters())


def measure(model: nn.Module, height: int, width: int) -> Cost:
    """Returns the cost of `model(images, sizes)` for one padded image of `height` x `width` network pixels.

    The model must have been built on the meta device (`with torch.device("meta"): SparseRCNN(config)`), where nothing
    is computed, no memory is used, and torch's counter includes attention, which it omits on the CPU. What runs in
    training only is not counted.
    """
    assert all(parameter.is_meta for parameter in model.parameters()), "build the model on the meta device"
    norms: Counter[str] = Counter()
    counter = FlopCounterMode(display=False, depth=2)
    hooks = [
        module.register_forward_hook(_count_layer_norm(norms, name.split(".")[0]))
        for name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm)
    ]
    training = model.training
    model.eval()
    with counter:
        model(torch.empty(1, 3, height, width, device="meta"), torch.empty(1, 2, dtype=torch.int64, device="meta"))
    model.train(training)
    for hook in hooks:
        hook.remove()
    flops = counter.get_flop_counts()
    of_part = {part: sum(flops[f"{type(model).__name__}.{part}"].values()) for part, _ in model.named_children()}
    macs = {part: count // 2 + norms[part] for part, count in of_part.items()}
    assert sum(macs.values()) == counter.get_total_flops() // 2 + norms.total(), "something runs outside the parts"
    return Cost(parameters=number_of_parameters(model), macs=macs, pixels=height * width)


def _count_layer_norm(counts: Counter[str], part: str) -> Callable[..., None]:
    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts[part] += LAYER_NORM_MACS * output.numel()

    return count
