"""The loss is the plain sum of Section 3.4, and does not care how a batch was cut into pieces."""

import pytest
import torch
from torch import Tensor

from tests.plain import criterion as plain
from uncrowd.errors import NonFiniteError
from uncrowd.losses.criterion import SetCriterion
from uncrowd.losses.matcher import LossWeights
from uncrowd.structures import StageOutput, Target

HEIGHT, WIDTH, CLASSES = 80, 120, 3
criterion = SetCriterion(LossWeights())


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def random_boxes(*shape: int) -> Tensor:
    corner = torch.rand(*shape, 2, dtype=torch.float64) * torch.tensor([WIDTH, HEIGHT])
    return torch.cat([corner, corner + 1 + torch.rand(*shape, 2, dtype=torch.float64) * 50], dim=-1)


def random_stages(stages: int = 2, pictures: int = 2, predictions: int = 5) -> list[StageOutput]:
    return [
        StageOutput(
            logits=torch.randn(pictures, predictions, CLASSES, dtype=torch.float64).requires_grad_(),
            boxes=random_boxes(pictures, predictions).requires_grad_(),
            queries=torch.zeros(pictures, predictions, 8, dtype=torch.float64),
        )
        for _ in range(stages)
    ]


def picture_with(objects: int) -> Target:
    return Target(
        boxes=random_boxes(objects),
        labels=torch.randint(CLASSES, (objects,)),
        ignored=torch.zeros(0, 4),
        size=(HEIGHT, WIDTH),
    )


def gradients(stages: list[StageOutput]) -> list[Tensor]:
    grads = [tensor.grad for stage in stages for tensor in (stage.logits, stage.boxes)]
    return [grad if grad is not None else torch.zeros(()) for grad in grads]


@pytest.mark.parametrize("objects", [(3, 2), (0, 4), (0, 0), (7, 1)], ids=str)
def test_losses_are_the_plain_loops(objects: tuple[int, int]) -> None:
    """Some pictures without objects, all pictures without, more objects than proposals."""
    stages, targets = random_stages(), [picture_with(n) for n in objects]
    num_boxes = max(sum(objects), 1)
    losses = criterion(stages, targets, num_boxes)
    expected = plain.losses(stages, targets, num_boxes)
    assert losses.class_.tolist() == pytest.approx([class_ for class_, _, _ in expected])
    assert losses.l1.tolist() == pytest.approx([l1 for _, l1, _ in expected])
    assert losses.giou.tolist() == pytest.approx([giou for _, _, giou in expected])
    assert losses.total.item() == pytest.approx(plain.total(expected))
    losses.total.backward()
    assert all(gradient.isfinite().all() for gradient in gradients(stages))


def test_without_objects_only_the_class_is_learned() -> None:
    stages = random_stages()
    losses = criterion(stages, [picture_with(0), picture_with(0)], num_boxes=1)
    losses.total.backward()
    assert losses.l1.tolist() == losses.giou.tolist() == [0, 0]
    for stage in stages:
        assert stage.logits.grad is not None
        assert (stage.logits.grad > 0).all()  # every class is pushed down
        assert stage.boxes.grad is None or not stage.boxes.grad.any()


def test_micro_batches_add_up_to_the_large_batch() -> None:
    """Each is divided by the objects of the whole step, so their gradients are added and nothing is divided twice."""
    targets = [picture_with(n) for n in (3, 0, 1, 2)]
    num_boxes = torch.tensor(6.0, dtype=torch.float64)
    whole = random_stages(pictures=4)
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


def test_half_precision_outputs_are_compared_in_single() -> None:
    half = [StageOutput(*(t.detach().bfloat16() for t in stage)) for stage in random_stages()]
    single = [StageOutput(*(t.float() for t in stage)) for stage in half]
    targets = [picture_with(2), picture_with(3)]
    losses = criterion(half, targets, num_boxes=5)
    assert losses.total.dtype == torch.float32
    assert losses.total.item() == criterion(single, targets, num_boxes=5).total.item()


def test_double_stays_double() -> None:
    assert criterion(random_stages(), [picture_with(1)] * 2, num_boxes=2).total.dtype == torch.float64


def test_weights_weigh() -> None:
    stages, targets = random_stages(), [picture_with(2), picture_with(3)]
    weighted = criterion(stages, targets, num_boxes=5)
    expected = 2 * weighted.class_ + 5 * weighted.l1 + 2 * weighted.giou
    assert weighted.total.item() == pytest.approx(expected.sum().item())


def test_watched_values_and_what_is_not_finite_come_through() -> None:
    stages, targets = random_stages(), [picture_with(2), picture_with(3)]
    assert criterion(stages, targets, 5, watch=torch.tensor([1.5])).watched == [1.5]
    with torch.no_grad():
        stages[0].logits[0, 0, 0] = torch.nan
    with pytest.raises(NonFiniteError) as error:
        criterion(stages, targets, 5, watch=torch.tensor([1.5]))
    assert error.value.watched == [1.5]
