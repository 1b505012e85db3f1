"""The model and its loss give the outputs and gradients of a twin that repeats the public code's operations."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tests.losses.cases import image_with, random_stages
from tests.models.trained_norms import as_if_trained
from tests.plain.roi_align import fpn_level
from tests.plain.set_loss import total_loss
from tests.plain.sparse_rcnn import PlainSparseRCNN
from uncrowd.losses.criterion import SetCriterion
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.structures import StageOutput, Target

WHOLE_METHOD = StageConfig(width=32, heads=4, dynamic_width=8, feedforward_width=64)
SPARSE_RCNN = StageConfig(
    attention="content", interaction="entangled", width=32, heads=4, dynamic_width=8, feedforward_width=64
)
# ResNets with basic blocks, and with bottlenecks and a deep stem, where one norm follows no convolution directly.
MODELS = {"iou-dcw": (WHOLE_METHOD, "resnet18"), "sparse-rcnn": (SPARSE_RCNN, "resnet14t")}
SIZES = [(90, 120), (70, 96)]
# Shares of a tensor's largest value, for outputs and for gradients. Measured in double precision: 1e-13. In single:
# 5e-5, and for gradients up to 6e-3, because rounding changes the sign of one ReLU input in a million in either one.
TOLERANCE = {torch.float64: (1e-11, 1e-11), torch.float32: (1e-3, 2e-2)}


class Run(NamedTuple):
    """Two images through a network and its loss. `inferred`: the outputs without gradient, in evaluation mode."""

    network: SparseRCNN | PlainSparseRCNN
    outputs: list[StageOutput]
    inferred: list[StageOutput]
    loss: Tensor
    gradients: dict[str, Tensor]


class Runs(NamedTuple):
    dtype: torch.dtype
    ours: Run
    plain: Run


@pytest.fixture(scope="module", params=[(m, d) for m in MODELS for d in TOLERANCE], ids=lambda p: f"{p[0]}-{p[1]}")
def runs(request: pytest.FixtureRequest) -> Runs:
    name, dtype = request.param
    model = detector(*MODELS[name]).to(dtype)
    plain = PlainSparseRCNN(model)
    learned = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    images, targets, of_runs = random_images(), objects(dtype), []
    for network in (model, plain):
        outputs = network(images, torch.tensor(SIZES))
        if network is model:
            loss = SetCriterion(LossConfig())(outputs, targets, num_boxes=6).total
        else:
            loss = total_loss(outputs, targets, num_boxes=6)
        gradients = torch.autograd.grad(loss, list(learned.values()))
        with torch.no_grad():
            inferred = network.eval()(images, torch.tensor(SIZES))
        of_runs.append(Run(network, outputs, inferred, loss, dict(zip(learned, gradients, strict=True))))
    return Runs(dtype, *of_runs)


def detector(stage: StageConfig, backbone: str) -> SparseRCNN:
    """A detector with no weight at its initial 0 or 1, and with proposals of all sizes, many beyond the image."""
    torch.manual_seed(0)
    proposals = 24
    model = SparseRCNN(
        SparseRCNNConfig(
            num_classes=3, proposals=proposals, stages=3, backbone=BackboneConfig(name=backbone), stage=stage
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
        as_if_trained(model)
        centre, size = model.proposal_boxes_cxcywh_norm.split(2, dim=-1)
        centre.uniform_(-0.1, 1.1)
        size.uniform_(0.7, 1.4).mul_(torch.logspace(-1, 1, proposals)[:, None])
    return model


def random_images() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (2, 3, 90, 120), dtype=torch.uint8, generator=generator)


def objects(dtype: torch.dtype) -> list[Target]:
    boxes = [
        [[10.0, 5, 40, 80], [30, 10, 70, 85], [60, 0, 120, 30], [5, 70, 12, 78]],
        [[20.0, 20, 90, 60], [0, 0, 96, 70]],
    ]
    return [
        Target(
            boxes=torch.tensor(of_image, dtype=dtype),
            labels=torch.arange(len(of_image)) % 3,
            ignored=torch.zeros(0, 4),
            size=size,
        )
        for of_image, size in zip(boxes, SIZES, strict=True)
    ]


def assert_close(actual: Tensor, expected: Tensor, tolerance: float, name: str) -> None:
    difference = (actual - expected).abs().max().item() / expected.abs().max().item()
    assert difference <= tolerance, f"{name}: off by {difference} of its largest value"


def assert_all_close(actual: list[StageOutput], expected: list[StageOutput], tolerance: float) -> None:
    for stage, (ours, plain) in enumerate(zip(actual, expected, strict=True)):
        for name in StageOutput._fields:
            assert_close(getattr(ours, name), getattr(plain, name), tolerance, f"{name} of stage {stage}")


def test_both_have_the_same_parameters(runs: Runs) -> None:
    assert set(runs.ours.network.parameters()) == set(runs.plain.network.parameters())


def test_boxes_are_on_all_levels_and_beyond_the_image(runs: Runs) -> None:
    """Otherwise the other tests would show little."""
    for output in runs.plain.outputs[:-1]:
        assert {fpn_level(box) for box in output.boxes.flatten(0, 1).tolist()} == {2, 3, 4, 5}
        assert output.boxes.min() < -100
        assert output.boxes.max() > 220


def test_stage_outputs(runs: Runs) -> None:
    assert_all_close(runs.ours.outputs, runs.plain.outputs, TOLERANCE[runs.dtype][0])


def test_stage_outputs_without_gradient(runs: Runs) -> None:
    """Without gradients the model may compute the same numbers in other ways."""
    assert_all_close(runs.ours.inferred, runs.plain.inferred, TOLERANCE[runs.dtype][0])


def test_detections(runs: Runs) -> None:
    ours, plain = (run.network.decode(run.inferred) for run in (runs.ours, runs.plain))
    assert_close(ours.scores, plain.scores, TOLERANCE[runs.dtype][0], "scores")
    if runs.dtype == torch.float64:  # in single precision, rounding may rank scores that are almost equal
        assert ours.labels.tolist() == plain.labels.tolist()
        assert_close(ours.boxes, plain.boxes, TOLERANCE[runs.dtype][0], "boxes")


def test_loss(runs: Runs) -> None:
    assert_close(runs.ours.loss, runs.plain.loss, TOLERANCE[runs.dtype][0], "loss")


def test_gradients_of_all_parameters(runs: Runs) -> None:
    for name, gradient in runs.plain.gradients.items():
        assert gradient.any(), name
        assert_close(runs.ours.gradients[name], gradient, TOLERANCE[runs.dtype][1], name)


@pytest.mark.parametrize("counts", [(3, 2), (0, 4), (0, 0), (7, 1)], ids=str)
def test_loss_of_odd_images(counts: tuple[int, int]) -> None:
    """Some images without objects, all images without, more objects than proposals."""
    torch.manual_seed(0)
    stages, targets = random_stages(), [image_with(count) for count in counts]
    predicted = [tensor for stage in stages for tensor in (stage.logits, stage.boxes)]
    ours, plain = SetCriterion(LossConfig())(stages, targets, 3).total, total_loss(stages, targets, 3)
    assert_close(ours, plain, 1e-12, "loss")
    of_ours, of_plain = (torch.autograd.grad(loss, predicted, materialize_grads=True) for loss in (ours, plain))
    for gradient, expected in zip(of_ours, of_plain, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)
