"""The head that `uncrowd train` builds computes what the authors' release and Sparse R-CNN compute.

Those two computed the fixtures in float64: stage outputs, matching, losses, and the gradient of the total loss with
respect to every weight and every input.
"""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tests.paper.parity import CHOICES, TOLERANCE, load_head
from uncrowd.losses.criterion import Losses, SetCriterion
from uncrowd.losses.matcher import LossConfig, match, pad_targets, stack_stages
from uncrowd.models.stage import DynamicHead
from uncrowd.structures import StageOutput, Target
from uncrowd.weights.published.detectron2 import rename


class Run(NamedTuple):
    head: DynamicHead
    features: list[Tensor]
    boxes: Tensor
    queries: Tensor
    outputs: list[StageOutput]
    targets: list[Target]
    losses: Losses
    facts: dict
    tensors: dict[str, Tensor]


@pytest.fixture(scope="module", params=[(n, d) for n in CHOICES for d in TOLERANCE], ids=lambda p: f"{p[0]}-{p[1]}")
def run(request: pytest.FixtureRequest) -> Run:
    _, dtype = request.param
    head, given, facts, tensors = load_head(*request.param)
    features = [given[level].requires_grad_() for level in ("p2", "p3", "p4", "p5")]
    boxes, queries = given["proposal_boxes"].requires_grad_(), given["queries"].requires_grad_()
    outputs = head(features, boxes, queries.expand(len(boxes), -1, -1))
    targets = [
        Target(
            boxes=torch.tensor(target["boxes_xyxy_pixels"], dtype=dtype),
            labels=torch.tensor(target["labels"]),
            ignored=torch.zeros(0, 4),
            size=(int(height), int(width)),
        )
        for target, (width, height) in zip(facts["targets"], given["image_wh"].tolist(), strict=True)
    ]
    losses = SetCriterion(LossConfig())(outputs, targets, num_boxes=sum(len(t.labels) for t in targets))
    losses.total.backward()
    return Run(head, features, boxes, queries, outputs, targets, losses, facts, tensors)


def assert_close(actual: Tensor | None, expected: Tensor, name: str) -> None:
    assert actual is not None, name
    relative, absolute = TOLERANCE[actual.dtype]
    difference = (actual.detach().double() - expected).abs().max().item()
    assert difference <= relative * expected.abs().max().item() + absolute, f"{name}: off by {difference}"


def test_stage_outputs_agree(run: Run) -> None:
    for stage, output in enumerate(run.outputs):
        assert_close(output.boxes, run.tensors[f"stage{stage}/boxes"], f"boxes of stage {stage}")
        assert_close(output.logits, run.tensors[f"stage{stage}/class_logits"], f"logits of stage {stage}")
        assert_close(output.queries, run.tensors[f"stage{stage}/queries"], f"queries of stage {stage}")


def test_matching_is_identical(run: Run) -> None:
    matching = match(*stack_stages(run.outputs), pad_targets(run.targets, like=run.boxes), LossConfig())
    for stage, images in enumerate(run.facts["matching"]):
        prediction = [p for image in images for p in image["prediction"]]
        target = [t for image in images for t in image["target"]]
        assert matching.prediction[stage].tolist() == prediction
        assert matching.target[stage].tolist() == target


def test_losses_agree(run: Run) -> None:
    for stage in range(len(run.outputs)):
        expected = run.facts["losses_unweighted"][f"stage{stage}"]
        for name, actual in (("class", run.losses.class_), ("l1", run.losses.l1), ("giou", run.losses.giou)):
            assert_close(actual[stage], torch.tensor(expected[name], dtype=torch.float64), f"{name} of stage {stage}")
    assert_close(run.losses.total, torch.tensor(run.facts["total_loss"], dtype=torch.float64), "total loss")


def test_gradients_of_all_weights_agree(run: Run) -> None:
    expected = {k.removeprefix("grad/"): v for k, v in run.tensors.items() if k.startswith("grad/")}
    actual = {f"head.{name}": parameter.grad for name, parameter in run.head.named_parameters()}
    renamed = rename(expected)
    assert renamed.keys() == actual.keys()
    for name, gradient in renamed.items():
        assert_close(actual[name], gradient, name)


def test_gradients_of_all_inputs_agree(run: Run) -> None:
    inputs = dict(zip(("p2", "p3", "p4", "p5"), run.features, strict=True))
    for name, tensor in {**inputs, "proposal_boxes": run.boxes, "queries": run.queries}.items():
        assert_close(tensor.grad, run.tensors[f"grad_input/{name}"], name)
