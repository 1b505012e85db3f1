"""Every attention works with every interaction (Tables 1, 2, 3 and 5): each combination trains all its weights."""

import itertools
from collections.abc import Iterator
from typing import get_args

import pytest
import torch
from torch import Tensor

from uncrowd.losses.criterion import SetCriterion
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.interaction import InteractionKind
from uncrowd.models.self_attention import AttentionKind
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.structures import Target

IMAGES, SIDE, STEPS = 4, 64, 60
COMBINATIONS = list(itertools.product(get_args(AttentionKind), get_args(InteractionKind)))
criterion = SetCriterion(LossConfig())


@pytest.fixture(params=COMBINATIONS, ids=lambda kinds: f"{kinds[0]}-{kinds[1]}")
def model(request: pytest.FixtureRequest) -> SparseRCNN:
    attention, interaction = request.param
    torch.manual_seed(0)
    return SparseRCNN(
        SparseRCNNConfig(
            num_classes=2,
            proposals=8,
            stages=2,
            # timm's smallest network with strides 4 to 32: 82,000 parameters
            backbone=BackboneConfig(name="test_efficientnet", norm="group", frozen_stages=0),
            stage=StageConfig(
                attention=attention,
                interaction=interaction,
                width=16,
                heads=2,
                dynamic_width=8,
                feedforward_width=32,
            ),
        )
    )


def random_images() -> tuple[Tensor, Tensor, list[Target]]:
    """Returns images, their sizes and their targets: a grey square that moves, and a coloured bar that stays."""
    images = torch.full((IMAGES, 3, SIDE, SIDE), 30.0)
    targets = []
    for i in range(IMAGES):
        x, y = 8 + 8 * i, 40 - 8 * i
        images[i, :, y : y + 16, x : x + 20] = 220
        images[i, i % 3, 4:14, 40:60] = 150
        boxes = torch.tensor([[x, y, x + 20, y + 16], [40, 4, 60, 14]], dtype=torch.float32)
        targets.append(Target(boxes=boxes, labels=torch.tensor([0, 1]), ignored=torch.zeros(0, 4), size=(SIDE, SIDE)))
    return images, torch.full((IMAGES, 2), SIDE), targets


def train(model: SparseRCNN, steps: int) -> Iterator[float]:
    images, sizes, targets = random_images()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = criterion(model(images, sizes), targets, num_boxes=2 * IMAGES).total
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        yield loss.item()


def test_the_loss_halves(model: SparseRCNN) -> None:
    losses = train(model, STEPS)
    first = next(losses)
    assert any(loss < first / 2 for loss in losses)


def test_every_parameter_gets_a_gradient(model: SparseRCNN) -> None:
    with torch.no_grad():  # boxes of one to eight times the image's side use all levels of the pyramid
        model.proposal_boxes_cxcywh_norm[:, 2:] = torch.tensor([1.0, 2, 4, 8]).repeat(2)[:, None]
    next(train(model, steps=1))
    # nothing has scored the proposals before the first stage
    unused = ["head.stages.0.attention.score_weight"] if model.config.stage.attention == "iou_learned" else []
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == unused


@pytest.mark.parametrize("attention", ["content", "iou"])
def test_only_the_bias_of_the_keys_gets_no_gradient(attention: AttentionKind) -> None:
    """It adds the same number to all logits of a query, which the softmax cancels."""
    torch.manual_seed(0)
    stage = StageConfig(attention=attention, width=16, heads=2, dynamic_width=8, feedforward_width=32)
    backbone = BackboneConfig(name="test_efficientnet", norm="group", frozen_stages=0)
    model = SparseRCNN(SparseRCNNConfig(num_classes=2, proposals=8, stages=1, backbone=backbone, stage=stage)).double()
    next(train(model, steps=1))
    gradient = model.head.stages[0].get_parameter("attention.qkv.bias").grad
    assert gradient is not None
    query, key, value = (part.abs().max().item() for part in gradient.chunk(3))
    assert key < 1e-12
    assert min(query, value) > 1e-6
