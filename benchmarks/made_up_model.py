"""A model of random weights that costs what a trained one does, and batches of noise for it to look at or learn from.

What would make random weights cost what trained ones do not is put right: see `calm` and `_spread`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from uncrowd.models.build import build_detector
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.structures import Batch, Target


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """Images of noise, and boxes anywhere in them."""

    images: int
    height: int
    width: int
    objects: float  # of an image, on average
    classes: int = 80
    seed: int = 0


def made_up_batch(config: BatchConfig) -> Batch:
    """A batch as the training loader hands it over, pinned where there is a GPU."""
    rng = np.random.default_rng(config.seed)
    size = (config.height, config.width)
    images = torch.from_numpy(rng.integers(256, size=(config.images, 3, *size), dtype=np.uint8))
    counts = rng.poisson(config.objects, config.images).clip(1)
    return Batch(
        images=_pinned(images.contiguous(memory_format=torch.channels_last)),
        sizes=_pinned(torch.tensor([size] * config.images)),
        targets=[made_up_target(count, size, config.classes, rng) for count in counts],
        ids=list(range(config.images)),
        image_sizes=[size] * config.images,
        skipped=[],
    )


def made_up_target(objects: int, size: tuple[int, int], classes: int, rng: np.random.Generator) -> Target:
    """Boxes with sides from 3 % to 60 % of the image's short one, none of them ignored."""
    sides = np.exp(rng.uniform(np.log(0.03), np.log(0.6), (objects, 2))) * min(size)
    corner = rng.uniform(0, 1, (objects, 2)) * (size[::-1] - sides)
    return Target(
        boxes=_pinned(torch.from_numpy(np.concatenate([corner, corner + sides], axis=1)).float()),
        labels=_pinned(torch.from_numpy(rng.integers(classes, size=objects))),
        ignored=_pinned(torch.zeros(0, 4)),
        size=size,
    )


def build_model(config: SparseRCNNConfig, device: torch.device | None = None) -> SparseRCNN:
    """Returns a model with the same random weights for the same configuration, laid out for the device."""
    torch.manual_seed(0)
    model = build_detector(config, device)
    assert isinstance(model, SparseRCNN)
    calm(model)
    _spread(model)
    return model


def calm(model: nn.Module) -> None:
    """The last frozen norm of every residual block multiplies by a fifth.

    By 1, a deep trunk of random weights would explode; by the 0 that networks start with, most gradients would be 0.
    """
    for name, buffer in model.named_buffers():
        if name.endswith("bn3.weight"):
            buffer.fill_(0.2)


@torch.no_grad()
def _spread(model: SparseRCNN) -> None:
    """Proposals are all over the image, and stages move them a little.

    At first they all are the whole image, which random stages enlarge to many times its size.
    """
    centre, size = model.proposal_boxes_cxcywh_norm.split(2, dim=-1)
    centre.uniform_(0.1, 0.9)
    size.uniform_(-3, -0.7).exp_()  # 5 % to half of a side
    for name, parameter in model.head.named_parameters():
        if ".box_deltas." in name:
            parameter.mul_(0.1)


def _pinned(tensor: Tensor) -> Tensor:
    return tensor.pin_memory() if torch.cuda.is_available() else tensor
