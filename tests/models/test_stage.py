"""One stage, and stages in a row: what they refine, what they detach, and how they are initialised."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from uncrowd.models.stage import PRIOR_PROBABILITY, DynamicHead, Stage, StageConfig
from uncrowd.ops.roi_align import as_rows, roi_align
from uncrowd.structures import StageOutput

TINY = StageConfig(width=16, heads=2, dynamic_width=4, feedforward_width=32)
PRIOR_LOGIT = -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def inputs(images: int = 2, queries: int = 3) -> tuple[list[Tensor], Tensor, Tensor]:
    """Returns the inputs of a head: features, boxes and queries."""
    features = [torch.randn(images, 16, 64 // stride, 64 // stride) for stride in (4, 8, 16, 32)]
    boxes = torch.tensor([[0.0, 0, 20, 30], [10, 5, 60, 50], [0, 0, 64, 64]]).expand(images, queries, 4)
    return features, boxes, torch.randn(images, queries, 16)


def pooled(features: list[Tensor], boxes: Tensor) -> Tensor:
    return roi_align(as_rows(features), boxes, TINY.pooled_size)


def test_shapes() -> None:
    features, boxes, queries = inputs()
    output = Stage(TINY, num_classes=5)(boxes, queries, pooled(features, boxes))
    assert output.logits.shape == (2, 3, 5)
    assert output.boxes.shape == (2, 3, 4)
    assert output.queries.shape == (2, 3, 16)


@pytest.mark.parametrize("num_classes", [1, 4, 80])
def test_the_prior_is_on_the_class_bias_only(num_classes: int) -> None:
    """Also with 4 classes, where a rule by shape would change the four biases of the box deltas, too."""
    stage = Stage(TINY, num_classes)
    assert stage.class_logits.bias.tolist() == pytest.approx([PRIOR_LOGIT] * num_classes)
    others = {name: p for name, p in stage.named_parameters() if name != "class_logits.bias"}
    assert [name for name, p in others.items() if torch.isclose(p, torch.tensor(PRIOR_LOGIT)).any()] == []


def test_matrices_start_as_xavier_uniform() -> None:
    stage = Stage(TINY, num_classes=5)
    for name, parameter in stage.named_parameters():
        if parameter.dim() > 1:
            bound = math.sqrt(6 / sum(parameter.shape))
            assert 0.8 * bound < parameter.abs().max() <= bound, name


def test_a_stage_may_begin_by_keeping_its_boxes() -> None:
    torch.manual_seed(1)
    at_random = Stage(TINY, num_classes=5).state_dict()
    torch.manual_seed(1)
    stage = Stage(replace(TINY, zero_deltas=True), num_classes=5)
    differ = [name for name, tensor in stage.state_dict().items() if not torch.equal(tensor, at_random[name])]
    assert differ == ["box_deltas.weight", "box_deltas.bias"]
    features, boxes, queries = inputs()
    output = stage(boxes, queries, pooled(features, boxes))
    torch.testing.assert_close(output.boxes, boxes)
    output.boxes.square().sum().backward()
    assert stage.box_deltas.weight.grad is not None
    assert (stage.box_deltas.weight.grad.abs().sum(dim=1) > 0).all()  # it learns from the first step


@pytest.mark.parametrize(("delta", "growth"), [(100.0, 100_000 / 16), (-5.0, math.exp(-5))], ids=["grown", "shrunk"])
def test_growth_of_sides_is_limited_and_shrinking_is_not(delta: float, growth: float) -> None:
    stage = Stage(TINY, num_classes=5)
    nn.init.zeros_(stage.box_deltas.weight)
    with torch.no_grad():
        stage.box_deltas.bias.copy_(torch.tensor([0.0, 0, delta, delta]))
    features, boxes, queries = inputs()
    refined = stage(boxes, queries, pooled(features, boxes)).boxes
    before, after = boxes[..., 2:] - boxes[..., :2], refined[..., 2:] - refined[..., :2]
    torch.testing.assert_close(after, before * growth, rtol=1e-3, atol=1e-3)


def test_a_box_is_not_clipped() -> None:
    stage = Stage(TINY, num_classes=5)
    nn.init.zeros_(stage.box_deltas.weight)
    with torch.no_grad():
        stage.box_deltas.bias.copy_(torch.tensor([2.0, 0, 0, 0]))  # moves it to the right by 2 / 2 of its width
    features, _, queries = inputs()
    boxes = torch.tensor([0.0, 0, 64, 64]).expand(2, 3, 4)
    assert stage(boxes, queries, pooled(features, boxes)).boxes[0, 0].tolist() == pytest.approx([64, 0, 128, 64])


def test_stages_pass_on_queries_with_gradient_and_boxes_without() -> None:
    head = DynamicHead(TINY, stages=2, num_classes=5)
    first, second = head(*inputs())
    second.boxes.sum().backward(retain_graph=True)
    stage = head.stages[0]
    # the second stage's boxes give no gradient to the first stage's box layer ...
    assert stage.get_parameter("box_deltas.weight").grad is None
    # ... but its queries do, to the layers that made them
    through_queries = stage.get_parameter("interaction.box_branch.feedforward.linear2.weight").grad
    assert through_queries is not None
    assert through_queries.any()
    first.boxes.sum().backward()
    assert stage.get_parameter("box_deltas.weight").grad is not None


def test_learned_boxes_get_a_gradient_from_the_first_stage() -> None:
    features, boxes, queries = inputs()
    learned = boxes.clone().requires_grad_()
    outputs: list[StageOutput] = DynamicHead(TINY, stages=2, num_classes=5)(features, learned, queries)
    (of_first,) = torch.autograd.grad(outputs[0].boxes.sum(), learned, retain_graph=True)
    assert of_first.any()
    # and, through the IoU in the first stage's attention, from the queries that it passes on
    (of_second,) = torch.autograd.grad(outputs[1].logits.sum(), learned)
    assert of_second.isfinite().all()


def test_shared_stages_are_equal_stages_with_one_set_of_weights() -> None:
    """The twin keeps a copy of the shared stage for each repetition; its gradients add up to that of the one stage."""
    shared = DynamicHead(replace(TINY, weights="shared"), stages=4, num_classes=5)
    twin = DynamicHead(TINY, stages=4, num_classes=5)
    assert (len(shared.stages), len(twin.stages)) == (2, 4)
    for number, copy in enumerate(twin.stages):
        copy.load_state_dict(shared.stages[min(number, 1)].state_dict())
    given = inputs()
    outputs, expected = shared(*given), twin(*given)
    for ours, theirs in zip(outputs, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    for each in (outputs, expected):
        torch.stack([output.logits.sum() + output.boxes.sum() for output in each]).sum().backward()
    for name, parameter in shared.stages[1].named_parameters():
        total = torch.zeros_like(parameter)
        for copy in list(twin.stages)[1:]:
            gradient = copy.get_parameter(name).grad
            assert gradient is not None
            total += gradient
        torch.testing.assert_close(parameter.grad, total, rtol=1e-3, atol=1e-3)


def test_sets_of_queries_share_features_and_do_not_see_each_other() -> None:
    """Two images with three sets each give what three runs with one set an image give."""
    head = DynamicHead(replace(TINY, attention="iou_learned"), stages=2, num_classes=5).double()
    features = [feature.double() for feature in inputs()[0]]
    boxes = inputs()[1].double().repeat(3, 1, 1) + torch.rand(6, 3, 1) * 10
    queries = torch.randn(6, 3, 16).double()
    outputs = head(features, boxes, queries)
    for first in range(3):
        alone = head(features, boxes[first::3], queries[first::3])
        for ours, theirs in zip(outputs, alone, strict=True):
            for tensor, expected in zip(ours, theirs, strict=True):
                torch.testing.assert_close(tensor[first::3], expected)


def test_a_single_stage_has_nothing_to_share() -> None:
    config = replace(TINY, weights="shared")
    assert len(DynamicHead(config, stages=1, num_classes=5).stages) == 1


def test_without_attention_there_is_no_attention_norm() -> None:
    names = dict(Stage(StageConfig(attention="none", width=16, heads=2), num_classes=5).named_parameters())
    assert not [name for name in names if name.startswith("attention")]


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="width is 20; give a multiple of 8 and of heads, which is 8"):
        StageConfig(width=20)
