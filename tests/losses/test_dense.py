"""The loss of a dense head equals slow loops over points and objects, and its matching the plain Hungarian problem."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from tests.losses.cases import image_with, random_stages
from uncrowd.boxes import giou, iou
from uncrowd.errors import NonFiniteError
from uncrowd.losses.criterion import SetCriterion
from uncrowd.losses.dense import DenseLossConfig, dense_loss, match_points
from uncrowd.losses.dense_criterion import DenseCriterion
from uncrowd.losses.matcher import LossConfig, matching_cost, pad_targets, stack_stages
from uncrowd.structures import StageOutput, Target

CONFIG, MATCHING = DenseLossConfig(points=3), LossConfig()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def plain_pairs(output: StageOutput, targets: list[Target], image: int, repeats: int) -> list[tuple[int, int]]:
    padded = pad_targets(targets, like=output.boxes)
    objects = padded.counts[image]
    cost = matching_cost(output.logits[None], output.boxes[None], padded, MATCHING)[0, image, :, :objects]
    if not objects:
        return []
    repeats = max(min(repeats, len(cost) // objects), 1)
    repeated = torch.cat([cost] * repeats, dim=1).detach().numpy()
    point, column = linear_sum_assignment(repeated)
    return [(int(p), int(c) % objects) for p, c in zip(point, column, strict=True)]


def plain_branch(output: StageOutput, targets: list[Target], repeats: int, *, main: bool) -> tuple[Tensor, Tensor]:
    of_classes, of_boxes = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for image, target in enumerate(targets):
        logits, boxes = output.logits[image], output.boxes[image]
        pairs = plain_pairs(output, targets, image, repeats)
        raw, ious = {}, {}
        for point, thing in pairs:
            ious[point] = iou(boxes[point], target.boxes[thing]).item()
            raw[point] = logits[point, target.labels[thing]].sigmoid().item() * ious[point] ** CONFIG.iou_power
        goal = torch.zeros_like(logits)
        for point, thing in pairs:
            same = [p for p, t in pairs if t == thing]
            best = max(raw[p] for p in same)
            quality = raw[point] / best * max(ious[p] for p in same) if best else 0.0
            goal[point, target.labels[thing]] = quality
            of_boxes = of_boxes + quality * (1 - giou(boxes[point], target.boxes[thing]))
        matched = [point for point, _ in pairs]
        for point in range(len(boxes)):
            nearest = max((iou(boxes[point], boxes[p]).item() for p in matched), default=0.0)
            if main and point not in matched and nearest > CONFIG.duplicate_above:
                continue
            for label in range(logits.shape[1]):
                wanted, logit = goal[point, label], logits[point, label]
                entropy = F.binary_cross_entropy_with_logits(logit, wanted)
                of_classes = of_classes + (wanted - logit.sigmoid()).abs() ** CONFIG.beta * entropy
    return of_classes, of_boxes


@pytest.mark.parametrize("objects", [(3, 2), (0, 4), (0, 0), (9, 1)], ids=str)
def test_loss_and_gradients_equal_the_plain_loops(objects: tuple[int, int]) -> None:
    """Some images without objects, all without, and with more objects than a third of the points."""
    auxiliary, main = random_stages(predictions=8)
    main.boxes.data[:, 1] = main.boxes.data[:, 0] + 0.1  # a duplicate
    targets = [image_with(n) for n in objects]
    padded = pad_targets(targets, like=main.boxes)
    losses = dense_loss(auxiliary, main, padded, 5, CONFIG, MATCHING)
    expected = [plain_branch(auxiliary, targets, 3, main=False), plain_branch(main, targets, 1, main=True)]
    assert losses.class_.tolist() == pytest.approx([of_classes.item() / 5 for of_classes, _ in expected])
    assert losses.giou.tolist() == pytest.approx([of_boxes.item() / 5 for _, of_boxes in expected])
    total = torch.stack([of_classes + 2 * of_boxes for of_classes, of_boxes in expected]).sum()
    tensors = [tensor for output in (auxiliary, main) for tensor in (output.logits, output.boxes)]
    ours = torch.autograd.grad(losses.total * 5, tensors, materialize_grads=True)
    plain = torch.autograd.grad(total, tensors, materialize_grads=True)
    for gradient, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(gradient, other)


def test_each_object_of_a_pair_gets_as_many_points() -> None:
    """Taking the best points object by object would give the first of two overlapping objects all of them."""
    boxes = torch.tensor([[0.0, 0, 40, 40], [2, 2, 42, 42]], dtype=torch.float64)
    target = Target(boxes=boxes, labels=torch.tensor([0, 0]), ignored=torch.zeros(0, 4), size=(80, 120))
    jitter = torch.rand(1, 20, 4, dtype=torch.float64)
    output = StageOutput(logits=torch.zeros(1, 20, 3).double(), boxes=boxes[0] + jitter, queries=torch.zeros(1, 20, 8))
    logits, boxes = stack_stages([output])
    (pairs,) = match_points(logits, boxes, pad_targets([target], like=boxes), MATCHING, repeats=(8,))
    assert pairs.target.bincount().tolist() == [8, 8]
    assert len(pairs.point.unique()) == 16


def test_the_cheapest_points_of_each_object_give_the_matching_of_all() -> None:
    """Also where objects compete for the same points."""
    outputs, targets = random_stages(stages=2, predictions=300), [image_with(7), image_with(4)]
    targets[1].boxes[1:] = targets[1].boxes[0] + torch.tensor([[1.0], [2.0], [3.0]])
    targets[1].labels[:] = 0
    found = match_points(*stack_stages(outputs), pad_targets(targets, outputs[0].boxes), MATCHING, repeats=(4, 1))
    for output, pairs, repeats in zip(outputs, found, (4, 1), strict=True):
        for image in (0, 1):
            mine = pairs.image == image
            ours = set(zip(pairs.point[mine].tolist(), pairs.target[mine].tolist(), strict=True))
            assert ours == set(plain_pairs(output, targets, image, repeats))


def test_objects_that_compete_for_one_short_list_all_get_a_point(monkeypatch: pytest.MonkeyPatch) -> None:
    (output,) = random_stages(stages=1, predictions=30)
    target = image_with(3)
    target.boxes[1:] = target.boxes[0] + torch.tensor([[1.0], [2.0]])
    target.labels[:] = 0
    logits, boxes = stack_stages([output])
    monkeypatch.setattr("uncrowd.losses.dense._SHORTLIST", 4)
    (pairs,) = match_points(logits, boxes, pad_targets([target, image_with(0)], like=boxes), MATCHING, repeats=(4,))
    assert pairs.target.bincount().tolist() == [1, 1, 1]


def test_parts_of_a_step_add_up() -> None:
    outputs, targets = random_stages(stages=4, images=4, predictions=12), [image_with(n) for n in (3, 0, 1, 2)]
    criterion = DenseCriterion(MATCHING, CONFIG)
    whole = criterion(outputs, targets, 6, 4).total
    halves = [
        criterion([StageOutput(*(tensor[part] for tensor in output)) for output in outputs], targets[part], 6, 4).total
        for part in (slice(0, 2), slice(2, 4))
    ]
    assert torch.stack(halves).sum().item() == pytest.approx(whole.item())


def test_the_objective_is_that_of_the_stages_and_of_the_head() -> None:
    auxiliary, main, *stages = random_stages(stages=4, predictions=6)
    targets = [image_with(2), image_with(3)]
    criterion = DenseCriterion(MATCHING, CONFIG)
    losses = criterion([auxiliary, main, *stages], targets, 5)
    of_stages = SetCriterion(MATCHING)(stages, targets, 5)
    of_head = dense_loss(auxiliary, main, pad_targets(targets, like=main.boxes), 5, CONFIG, MATCHING)
    assert losses.total.item() == pytest.approx(of_stages.total.item() + of_head.total.item())
    for term, head, behind in zip(losses[1:], of_head[1:], of_stages[1:], strict=True):
        assert term.tolist() == [*head.tolist(), *behind.tolist()]
    alone = criterion([auxiliary, main], targets, 5)
    assert alone.total.item() == pytest.approx(of_head.total.item())


def test_points_on_ignored_regions_are_taught_nothing_on_request() -> None:
    """Unless they are matched."""
    whole = torch.tensor([[-100.0, -100, 300, 300]], dtype=torch.float64)
    (auxiliary, main), target = random_stages(images=1), image_with(1, ignored=whole)
    padded = pad_targets([target], like=main.boxes)
    lenient = LossConfig(ignore_above=0.7)
    losses = dense_loss(auxiliary, main, padded, 1, DenseLossConfig(points=1), lenient)
    losses.total.backward()
    for output in (auxiliary, main):
        assert output.logits.grad is not None
        assert output.logits.grad.abs().sum(dim=-1).count_nonzero() == 1
    strict = dense_loss(auxiliary, main, padded, 1, DenseLossConfig(points=1), MATCHING)
    assert (strict.class_ > losses.class_).all()


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_predictions_that_are_not_finite_are_told(broken: float) -> None:
    auxiliary, main = random_stages()
    main.boxes.data[0, 0, 0] = broken
    padded = pad_targets([image_with(1), image_with(1)], like=main.boxes)
    with pytest.raises(NonFiniteError, match="dense head"):
        dense_loss(auxiliary, main, padded, 2, CONFIG, MATCHING)


def test_matching_is_the_cheapest() -> None:
    (output,) = random_stages(stages=1, predictions=9)
    targets = [image_with(2), image_with(3)]
    logits, boxes = stack_stages([output])
    padded = pad_targets(targets, like=boxes)
    (pairs,) = match_points(logits, boxes, padded, MATCHING, repeats=(2,))
    cost = matching_cost(logits, boxes, padded, MATCHING)[0].detach()
    for image in (0, 1):
        mine = pairs.image == image
        ours = cost[image, pairs.point[mine], pairs.target[mine]].sum()
        plain = sum(cost[image, point, thing] for point, thing in plain_pairs(output, targets, image, 2))
        assert np.isclose(ours, plain)
