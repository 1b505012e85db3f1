"""Training steps of each detector by its own recipe, from a batch on the host to changed weights.

Weights are random, and learning rates are so low that the weights hardly change.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from benchmarks.made_up_model import build_model, calm
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from tests.plain.set_loss import total_loss
from tests.plain.sparse_rcnn import PlainSparseRCNN
from uncrowd.acceleration.compile import compile_layers
from uncrowd.engine.accelerator import build_accelerator
from uncrowd.engine.learner import Learner
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train_config import TrainConfig
from uncrowd.losses.criterion import SetCriterion
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.structures import Batch

# Takes a batch on the host, and whether to run under bf16 autocast; returns the loss.
Step = Callable[[Batch, bool], Tensor]

LEARNING_RATE = 1e-8


class EngineStep:
    """Our engine's own step: what `uncrowd train` does with each batch."""

    def __init__(self, config: SparseRCNNConfig, images: int, *, compiled: bool = False):
        self.model, self.criterion = build_model(config, build_accelerator().device), SetCriterion(LossConfig())
        if compiled:
            compile_layers(self.model, build_accelerator().device)
        settings = TrainConfig(batch_size=images)
        self.learner = Learner(self.model, self.criterion, settings, OptimConfig(), build_accelerator())

    def __call__(self, batch: Batch, bf16: bool) -> Tensor:
        """Takes the first step of training. It is always the first, because every step costs the same."""
        self.learner.config = replace(self.learner.config, bf16=bf16)
        return self.learner.step(batch, 0, LEARNING_RATE).losses.total


def plain_step(config: SparseRCNNConfig) -> Step:
    """Returns the step of the plain twin of model and loss, with an AdamW that is not fused, as in the public code."""
    device = build_accelerator().device
    # in torch's default memory layout, which the twin's convolutions then use
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
    """Returns the step of torchvision's Faster R-CNN R50-FPN with frozen norms, stem and first stage, and with SGD.

    The model resizes images itself, here to the size that they already have.
    """
    device = build_accelerator().device
    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=3
    )
    sides = {"min_size": min(height, width), "max_size": max(height, width)}
    model = detection.FasterRCNN(backbone, num_classes=1 + classes, **sides).to(device).train()  # 0 is the background
    calm(model)
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
