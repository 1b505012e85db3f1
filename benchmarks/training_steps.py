"""A whole training step of each detector: from a batch on the host to changed weights, as its own recipe has it.

Weights are random, and learning rates so low that they stay what they are. What would make random weights cost what
trained ones do not is put right: see `_calm` and `_spread`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from tests.plain.set_loss import total_loss
from tests.plain.sparse_rcnn import PlainSparseRCNN
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.loader import TrainLoader
from uncrowd.data.transforms import TrainTransformConfig
from uncrowd.engine.accelerator import build_accelerator
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train import TrainConfig, Trainer
from uncrowd.losses.criterion import SetCriterion
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.compiled import compile_parts
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.structures import Batch, Categories, Sample, Target

# Takes a batch on the host and whether to compute in bf16 under autocast; returns the loss.
Step = Callable[[Batch, bool], Tensor]

LEARNING_RATE = 1e-8


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """Pictures of noise, and boxes anywhere in them."""

    pictures: int
    height: int
    width: int
    objects: float  # of a picture, on average
    classes: int = 80
    seed: int = 0


def made_up_batch(config: BatchConfig) -> Batch:
    """A batch as the training loader hands it over, pinned where there is a GPU."""
    rng = np.random.default_rng(config.seed)
    size = (config.height, config.width)
    images = torch.from_numpy(rng.integers(256, size=(config.pictures, 3, *size), dtype=np.uint8))
    counts = rng.poisson(config.objects, config.pictures).clip(1)
    return Batch(
        images=_pinned(images),
        sizes=_pinned(torch.tensor([size] * config.pictures)),
        targets=[made_up_target(count, size, config.classes, rng) for count in counts],
        ids=list(range(config.pictures)),
        picture_sizes=[size] * config.pictures,
        skipped=[],
    )


def made_up_target(objects: int, size: tuple[int, int], classes: int, rng: np.random.Generator) -> Target:
    """Boxes with sides from 3 % to 60 % of the picture's short one, none of them ignored."""
    sides = np.exp(rng.uniform(np.log(0.03), np.log(0.6), (objects, 2))) * min(size)
    corner = rng.uniform(0, 1, (objects, 2)) * (size[::-1] - sides)
    return Target(
        boxes=_pinned(torch.from_numpy(np.concatenate([corner, corner + sides], axis=1)).float()),
        labels=_pinned(torch.from_numpy(rng.integers(classes, size=objects))),
        ignored=_pinned(torch.zeros(0, 4)),
        size=size,
    )


def build_model(config: SparseRCNNConfig) -> SparseRCNN:
    """The same random weights for the same configuration."""
    torch.manual_seed(0)
    model = SparseRCNN(config)
    _calm(model)
    _spread(model)
    return model


class EngineStep:
    """Our engine's own step: what `uncrowd train` does with each batch."""

    def __init__(self, config: SparseRCNNConfig, pictures: int, *, compiled: bool = False):
        self.model, self.criterion = build_model(config), SetCriterion(LossConfig())
        if compiled:
            compile_parts(self.model)
        self.trainer = Trainer(
            self.model,
            self.criterion,
            _loader_of_nothing(pictures),
            TrainConfig(batch_size=pictures),
            OptimConfig(learning_rate=LEARNING_RATE),
            build_accelerator(),
            Path("never written"),
            facts={},
        )

    def __call__(self, batch: Batch, bf16: bool) -> Tensor:
        """Takes the first step of training: always the first, for that costs what any other does."""
        self.trainer.config = replace(self.trainer.config, bf16=bf16)
        return self.trainer._step(batch)[0].total  # private: nothing but the loop around it is left out


def plain_step(config: SparseRCNNConfig) -> Step:
    """The literal twin of model and loss, trained as the public code trains: AdamW that is not fused."""
    device = build_accelerator().device
    # weights laid out as torch does by itself, for the twin's convolutions follow them
    model = PlainSparseRCNN(build_model(config).to(memory_format=torch.contiguous_format)).to(device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    settings = OptimConfig()
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=settings.weight_decay)

    def step(batch: Batch, bf16: bool) -> Tensor:
        num_boxes = max(sum(len(target.labels) for target in batch.targets), 1)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            outputs = model(batch.images.to(device), batch.sizes)
            loss = total_loss(outputs, batch.targets, num_boxes)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, settings.clip_norm)
        optimizer.step()
        return loss.detach()

    return step


def faster_rcnn_step(height: int, width: int, classes: int) -> Step:
    """torchvision's Faster R-CNN on R50-FPN, its norms, stem and first stage frozen; SGD, as its recipe has it.

    It resizes pictures itself, here to the size that they have.
    """
    device = build_accelerator().device
    torch.manual_seed(0)
    trunk = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=3
    )
    sides = {"min_size": min(height, width), "max_size": max(height, width)}
    model = detection.FasterRCNN(trunk, num_classes=1 + classes, **sides).to(device).train()  # 0 is the background
    _calm(model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4)

    def step(batch: Batch, bf16: bool) -> Tensor:
        images = [image.to(device, non_blocking=True) / 255 for image in batch.images]
        targets = [target.to(device) for target in batch.targets]
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            losses = model(images, [{"boxes": target.boxes, "labels": 1 + target.labels} for target in targets])
            loss = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _calm(model: nn.Module) -> None:
    """The last frozen norm of every residual block multiplies by a fifth.

    By 1, a deep trunk of random weights would explode; by the 0 that networks start with, most gradients would be 0.
    """
    for name, buffer in model.named_buffers():
        if name.endswith("bn3.weight"):
            buffer.fill_(0.2)


@torch.no_grad()
def _spread(model: SparseRCNN) -> None:
    """Proposals are all over the picture, and stages move them a little.

    At first they all are the whole picture, which random stages enlarge to many times its size.
    """
    centre, size = model.proposal_boxes_cxcywh_norm.split(2, dim=-1)
    centre.uniform_(0.1, 0.9)
    size.uniform_(-3, -0.7).exp_()  # 5 % to half of a side
    for name, parameter in model.head.named_parameters():
        if ".box_deltas." in name:
            parameter.mul_(0.1)


def _loader_of_nothing(pictures: int) -> TrainLoader:
    """A step asks for nothing but how many there are in an epoch."""
    size, empty = (1, 1), np.zeros(0)
    sample = Sample(
        id=0,
        path=Path("made up"),
        size=size,
        boxes=np.zeros((0, 4)),
        labels=empty.astype(np.int64),
        ignore=empty.astype(bool),
        areas=empty,
    )
    dataset = DetectionDataset.from_samples(
        [sample], source=Path("made up"), split="train", categories=Categories(ids=(1,), names=("one",)), folder=Path()
    )
    return TrainLoader(dataset, TrainTransformConfig(), seed=0, batch_size=pictures)


def _pinned(tensor: Tensor) -> Tensor:
    return tensor.pin_memory() if torch.cuda.is_available() else tensor
