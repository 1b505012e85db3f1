"""The loss is the plain sum of Section 3.4, however a batch is cut into micro-batches."""

from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from tests.losses.cases import CLASSES, image_with, random_boxes, random_stages
from tests.plain import criterion as plain
from tests.plain import detr_criterion as detr
from tests.plain.iou import iou as plain_iou
from uncrowd.errors import InputError, NonFiniteError
from uncrowd.losses.classification import FocalConfig
from uncrowd.losses.criterion import SetCriterion
from uncrowd.losses.matcher import LossConfig
from uncrowd.structures import StageOutput, Target

criterion = SetCriterion(LossConfig())


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def gradients(stages: list[StageOutput]) -> list[Tensor]:
    grads = [tensor.grad for stage in stages for tensor in (stage.logits, stage.boxes)]
    return [grad if grad is not None else torch.zeros(()) for grad in grads]


@pytest.mark.parametrize("target", ["one", "quality"])
@pytest.mark.parametrize("objects", [(3, 2), (0, 4), (0, 0), (7, 1)], ids=str)
def test_losses_equal_the_plain_loops(objects: tuple[int, int], target: Literal["one", "quality"]) -> None:
    """Some images without objects, all images without, more objects than proposals."""
    stages, targets = random_stages(), [image_with(n) for n in objects]
    num_boxes = max(sum(objects), 1)
    losses = SetCriterion(LossConfig(classes=FocalConfig(target=target)))(stages, targets, num_boxes)
    expected = plain.losses(stages, targets, num_boxes, quality=target == "quality")
    assert losses.class_.tolist() == pytest.approx([class_ for class_, _, _ in expected])
    assert losses.l1.tolist() == pytest.approx([l1 for _, l1, _ in expected])
    assert losses.giou.tolist() == pytest.approx([giou for _, _, giou in expected])
    assert losses.total.item() == pytest.approx(plain.total(expected))
    losses.total.backward()
    assert all(gradient.isfinite().all() for gradient in gradients(stages))


def test_quality_pulls_the_score_of_a_match_to_a_fixed_target() -> None:
    """With IoU^1 as the quality, the gradient of the matched logit is p - IoU, and the box gets none from the class."""
    target = image_with(1)
    stage = StageOutput(
        logits=torch.zeros(1, 2, CLASSES, dtype=torch.float64).requires_grad_(),
        boxes=torch.stack([target.boxes[0] + 2, target.boxes[0] + 70])[None].requires_grad_(),
        queries=torch.zeros(1, 2, 8),
    )
    classes = FocalConfig(target="quality", score_power=0.0, iou_power=1.0)
    only_class = LossConfig(classes=classes, class_weight=1.0, l1_weight=0.0, giou_weight=0.0)
    SetCriterion(only_class)([stage], [target], 1).total.backward()
    assert stage.logits.grad is not None
    assert stage.boxes.grad is not None
    overlap = plain_iou(stage.boxes[0, 0].tolist(), target.boxes[0].tolist())
    assert 0.1 < overlap < 1
    assert stage.logits.grad[0, 0, target.labels[0]].item() == pytest.approx(0.5 - overlap)
    assert not stage.boxes.grad.any()


def test_without_objects_only_the_class_loss_counts() -> None:
    stages = random_stages()
    losses = criterion(stages, [image_with(0), image_with(0)], num_boxes=1)
    losses.total.backward()
    assert losses.l1.tolist() == losses.giou.tolist() == [0, 0]
    for stage in stages:
        assert stage.logits.grad is not None
        assert (stage.logits.grad > 0).all()  # every class is pushed down
        assert stage.boxes.grad is None or not stage.boxes.grad.any()


def test_micro_batches_add_up_to_the_large_batch() -> None:
    """Each loss is divided by the objects of the whole step, so their gradients add up and nothing is divided twice."""
    targets = [image_with(n) for n in (3, 0, 1, 2)]
    num_boxes = torch.tensor(6.0, dtype=torch.float64)
    whole = random_stages(images=4)
    criterion(whole, targets, num_boxes).total.backward()

    parts = [StageOutput(*(t.detach().clone().requires_grad_() for t in stage)) for stage in whole]
    total = torch.zeros((), dtype=torch.float64)
    for cut in (slice(0, 1), slice(1, 2), slice(2, 4)):
        micro = [StageOutput(*(tensor[cut] for tensor in stage)) for stage in parts]
        losses = criterion(micro, targets[cut], num_boxes)
        losses.total.backward()
        total += losses.total.detach()
    assert total.item() == pytest.approx(criterion(whole, targets, num_boxes).total.item())
    for of_parts, of_whole in zip(gradients(parts), gradients(whole), strict=True):
        torch.testing.assert_close(of_parts, of_whole)


@pytest.mark.parametrize("config", [LossConfig(ignore_above=0.7), detr.CONFIG], ids=["focal", "cross entropy"])
def test_sets_of_predictions_are_matched_apart_and_averaged(config: LossConfig) -> None:
    """Image 0 has the sets 0 to 2, image 1 the sets 3 to 5; each third of them is what a model without groups gives."""
    region = torch.tensor([[0.0, 0, 60, 80]])
    targets = [image_with(3, ignored=region), image_with(0)]
    grouped, in_groups = random_stages(images=6, logits=CLASSES + 1), SetCriterion(config)
    losses = in_groups(grouped, targets, 3)
    alone = [
        in_groups([StageOutput(*(tensor[first::3] for tensor in stage)) for stage in grouped], targets, 3)
        for first in range(3)
    ]
    for name in ("total", "class_", "l1", "giou"):
        mean = torch.stack([getattr(each, name) for each in alone]).mean(0)
        torch.testing.assert_close(getattr(losses, name), mean)


def test_half_precision_outputs_are_compared_in_single() -> None:
    half = [StageOutput(*(t.detach().bfloat16() for t in stage)) for stage in random_stages()]
    single = [StageOutput(*(t.float() for t in stage)) for stage in half]
    targets = [image_with(2), image_with(3)]
    losses = criterion(half, targets, num_boxes=5)
    assert losses.total.dtype == torch.float32
    assert losses.total.item() == criterion(single, targets, num_boxes=5).total.item()


def test_double_stays_double() -> None:
    assert criterion(random_stages(), [image_with(1)] * 2, num_boxes=2).total.dtype == torch.float64


def test_the_total_is_the_weighted_sum() -> None:
    stages, targets = random_stages(), [image_with(2), image_with(3)]
    weighted = criterion(stages, targets, num_boxes=5)
    expected = 2 * weighted.class_ + 5 * weighted.l1 + 2 * weighted.giou
    assert weighted.total.item() == pytest.approx(expected.sum().item())


def test_a_prediction_that_is_not_finite_is_an_error() -> None:
    stages = random_stages()
    with torch.no_grad():
        stages[0].logits[0, 0, 0] = torch.nan
    with pytest.raises(NonFiniteError):
        criterion(stages, [image_with(2), image_with(3)], 5)


@pytest.mark.parametrize("objects", [(3, 2), (0, 4), (0, 0), (7, 9)], ids=str)
def test_detrs_losses_equal_the_plain_loops(objects: tuple[int, int]) -> None:
    """Softmax whose last logit is no object, with weight .1; L1 of centre and size."""
    stages, targets = random_stages(logits=CLASSES + 1), [image_with(n) for n in objects]
    losses = SetCriterion(detr.CONFIG)(stages, targets, max(sum(objects), 1))
    for stage, output in enumerate(stages):
        class_, l1, giou = detr.losses(output, targets)
        if sum(objects):  # without objects ours counts one, so that it does not divide by 0
            assert losses.class_[stage].item() == pytest.approx(class_)
        assert losses.l1[stage].item() == pytest.approx(l1)
        assert losses.giou[stage].item() == pytest.approx(giou)
    losses.total.backward()
    assert all(gradient.isfinite().all() for gradient in gradients(stages))


def test_detrs_micro_batches_add_up() -> None:
    stages, targets = random_stages(images=4, logits=CLASSES + 1), [image_with(n) for n in (3, 0, 1, 2)]
    in_parts = SetCriterion(detr.CONFIG)
    whole = in_parts(stages, targets, 6)
    parts = [
        in_parts([StageOutput(*(tensor[cut] for tensor in stage)) for stage in stages], targets[cut], 6, 4)
        for cut in (slice(0, 3), slice(3, 4))
    ]
    torch.testing.assert_close(parts[0].class_ + parts[1].class_, whole.class_)


def test_predictions_on_an_ignored_box_can_be_left_out() -> None:
    """The left half is ignored: of four unmatched predictions, those with at least .7 of their area there."""
    region = torch.tensor([[0.0, 0, 60, 80]])
    there = Target(boxes=torch.tensor([[100.0, 10, 110, 30]]), labels=torch.tensor([1]), ignored=region, size=(80, 120))
    boxes = [[100.0, 10, 110, 30], [5, 5, 25, 25], [50, 0, 70, 20], [53, 0, 63, 20], [80, 50, 90, 60]]
    shares = [0, 1, 0.5, 0.7, 0]  # of their own area, on the region
    stage = StageOutput(
        logits=torch.zeros(1, 5, CLASSES, dtype=torch.float64).requires_grad_(),
        boxes=torch.tensor([boxes], dtype=torch.float64),
        queries=torch.zeros(1, 5, 8),
    )
    lenient = SetCriterion(LossConfig(ignore_above=0.7))([stage], [there], 1)
    strict = SetCriterion(LossConfig())([stage], [there], 1)
    of_one = plain.focal_loss(0.0, wanted=False) * CLASSES
    left_out = sum(share >= 0.7 for share in shares)
    assert left_out == 2
    assert (strict.class_ - lenient.class_).item() == pytest.approx(left_out * of_one)
    lenient.total.backward()
    assert stage.logits.grad is not None
    assert [bool(row.any()) for row in stage.logits.grad[0]] == [True, False, True, False, True]


def test_a_match_on_an_ignored_box_still_counts() -> None:
    everywhere = torch.tensor([[0.0, 0, 120, 80]])
    target = image_with(2, ignored=everywhere)
    stage = StageOutput(
        logits=torch.zeros(1, 5, CLASSES, dtype=torch.float64).requires_grad_(),
        boxes=random_boxes(1, 5).clamp(0, 70),
        queries=torch.zeros(1, 5, 8),
    )
    SetCriterion(LossConfig(ignore_above=0.7))([stage], [target], 2).total.backward()
    assert stage.logits.grad is not None
    assert sum(bool(row.any()) for row in stage.logits.grad[0]) == 2


@pytest.mark.parametrize("bad", [{"alpha": 25.0}, {"score_power": -1.0}, {"iou_power": -0.1}])
def test_invalid_class_losses_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        FocalConfig(**bad)


@pytest.mark.parametrize("bad", [{"class_weight": -1.0}, {"ignore_above": 0.0}, {"ignore_above": 1.5}])
def test_invalid_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        LossConfig(**bad)
