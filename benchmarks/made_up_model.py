"""A model with random weights that takes as much time as a trained one, and batches of noise to run it on.

`calm` and `_spread` change the random weights where they would take more or less time than trained ones.
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
    """Size of a batch of noise with boxes anywhere in its images."""

    images: int
    height: int
    width: int
    objects: float  # per image, on average
    classes: int = 80
    seed: int = 0


def made_up_batch(config: BatchConfig) -> Batch:
    """Returns a batch as the training loader does, in pinned memory if there is a GPU."""
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
    """Returns boxes with sides from 3 % to 60 % of the image's short side, none of them ignored."""
    sides = np.exp(rng.uniform(np.log(0.03), np.log(0.6), (objects, 2))) * min(size)
    corner = rng.uniform(0, 1, (objects, 2)) * (size[::-1] - sides)
    return Target(
        boxes=_pinned(torch.from_numpy(np.concatenate([corner, corner + sides], axis=1)).float()),
        labels=_pinned(torch.from_numpy(rng.integers(classes, size=objects))),
        ignored=_pinned(torch.zeros(0, 4)),
        size=size,
    )


def build_model(config: SparseRCNNConfig, device: torch.device | None = None) -> SparseRCNN:
    """Returns a model on the device, whose random weights are always the same for the same configuration."""
    torch.manual_seed(0)
    model = build_detector(config, device)
    assert isinstance(model, SparseRCNN)
    calm(model)
    _spread(model)
    return model


def calm(model: nn.Module) -> None:
    """Sets the scale of the last frozen norm of every residual block to 0.2.

    With 1, the features of a deep backbone with random weights would explode; with the usual initial 0, most gradients
    would be 0.
    """
    for name, buffer in model.named_buffers():
        if name.endswith("bn3.weight"):
            buffer.fill_(0.2)


@torch.no_grad()
def _spread(model: SparseRCNN) -> None:
    """Spreads the proposals over the image, and lets the stages move them only a little.

    Initially each learned proposal is the whole image, and random stages would enlarge it to many times that size.
    Dense queries are spread already.
    """
    if model.config.queries != "dense":
        centre, size = model.proposal_boxes_cxcywh_norm.split(2, dim=-1)
        centre.uniform_(0.1, 0.9)
        size.uniform_(-3, -0.7).exp_()  # 5 % to half of a side
    for name, parameter in model.head.named_parameters():
        if ".box_deltas." in name:
            parameter.mul_(0.1)


def _pinned(tensor: Tensor) -> Tensor:
    return tensor.pin_memory() if torch.cuda.is_available() else tensor
