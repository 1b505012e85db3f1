"""The assignment is one-to-one and the cheapest, whatever the number of objects."""

import pytest
import torch

from tests.losses.cases import CLASSES, HEIGHT, WIDTH, image_with, random_stages
from tests.plain import detr_criterion as detr
from tests.plain.criterion import matched_pairs
from tests.plain.matching_cost import cheapest_assignment, pair_cost
from uncrowd.errors import NonFiniteError
from uncrowd.losses.matcher import LossConfig, Matching, match, matching_cost, pad_targets, stack_stages
from uncrowd.structures import StageOutput, Target

CONFIG = LossConfig()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def pairs_of(matching: Matching, stage: int, image: int) -> list[tuple[int, int]]:
    own = matching.image[stage] == image
    return list(zip(matching.prediction[stage][own].tolist(), matching.target[stage][own].tolist(), strict=True))


def test_the_cost_equals_the_plain_loop() -> None:
    stages, targets = random_stages(), [image_with(3), image_with(4)]
    padded = pad_targets(targets, like=stages[0].boxes)
    logits, boxes = (torch.stack(part) for part in list(zip(*stages, strict=True))[:2])
    cost = matching_cost(logits, boxes, padded, CONFIG)
    assert cost.shape == (2, 2, 5, 4)  # stages, images, predictions, places for objects
    for stage, output in enumerate(stages):
        for image, target in enumerate(targets):
            for prediction in range(5):
                for index, (label, box) in enumerate(zip(target.labels.tolist(), target.boxes.tolist(), strict=True)):
                    expected = pair_cost(
                        output.logits[image, prediction].tolist(),
                        output.boxes[image, prediction].tolist(),
                        label,
                        box,
                        target.size,
                    )
                    assert cost[stage, image, prediction, index].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("objects", [(3, 3), (1, 4), (0, 2), (5, 5), (7, 1)], ids=str)
def test_the_assignment_is_the_cheapest_of_all(objects: tuple[int, int]) -> None:
    stages, targets = random_stages(), [image_with(n) for n in objects]
    matching = match(*stack_stages(stages), pad_targets(targets, like=stages[0].boxes), CONFIG)
    expected = matched_pairs(stages, targets)  # tries every permutation
    for stage in range(len(stages)):
        for image, count in enumerate(objects):
            pairs = pairs_of(matching, stage, image)
            assert len(pairs) == min(5, count)  # more objects than proposals leave some objects out
            assert pairs == expected[stage][image]


def test_detrs_cost_equals_the_plain_loop() -> None:
    """Minus the probability, and L1 of centre and size."""
    stages, targets = random_stages(stages=1, logits=CLASSES + 1), [image_with(3), image_with(2)]
    padded = pad_targets(targets, like=stages[0].boxes)
    cost = matching_cost(stages[0].logits[None], stages[0].boxes[None], padded, detr.CONFIG)
    for image, target in enumerate(targets):
        for prediction in range(5):
            for index in range(len(target.labels)):
                expected = detr.pair_cost(stages[0], target, image, prediction, index)
                assert cost[0, image, prediction, index].item() == pytest.approx(expected, rel=1e-9)


def test_trying_all_assignments_finds_the_obvious_one() -> None:
    """The plain twin on a problem that is easily solved by hand: the greedy choice of 1 would cost 1 + 9."""
    assert cheapest_assignment([[1.0, 2], [2, 9]]) == (4.0, [(0, 1), (1, 0)])


def test_images_without_objects_match_nothing() -> None:
    stages, targets = random_stages(), [image_with(0), image_with(0)]
    matching = match(*stack_stages(stages), pad_targets(targets, like=stages[0].boxes), CONFIG)
    assert matching.prediction.shape == (2, 0)


def test_ties_are_broken_the_same_way_every_time() -> None:
    """As at the start of training: all proposals are the whole image."""
    output = StageOutput(
        logits=torch.zeros(1, 6, CLASSES),
        boxes=torch.tensor([0.0, 0, WIDTH, HEIGHT]).expand(1, 6, 4),
        queries=torch.zeros(1, 6, 8),
    )
    padded = pad_targets([image_with(3)], like=output.boxes)
    first = match(*stack_stages([output]), padded, CONFIG)
    again = match(*stack_stages([output]), padded, CONFIG)
    assert pairs_of(first, 0, 0) == pairs_of(again, 0, 0)
    assert len(set(first.prediction[0].tolist())) == 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["logits", "boxes"])
@pytest.mark.parametrize("objects", [0, 2])
def test_a_prediction_that_is_not_finite_is_an_error(part: str, bad: float, objects: int) -> None:
    stages = random_stages()
    getattr(stages[1], part).detach()[0, 2, 1] = bad
    with pytest.raises(NonFiniteError, match="not finite"):
        match(*stack_stages(stages), pad_targets([image_with(objects)] * 2, like=stages[0].boxes), CONFIG)


def test_a_box_so_far_away_that_its_cost_overflows_is_an_error() -> None:
    output = StageOutput(
        logits=torch.zeros(1, 2, CLASSES),
        boxes=torch.tensor([[[0.0, 0, 10, 10], [-3e38, -3e38, 3e38, 3e38]]]),
        queries=torch.zeros(1, 2, 8),
    )
    tiny = Target(
        boxes=torch.tensor([[0.0, 0, 1, 1]]), labels=torch.tensor([0]), ignored=torch.zeros(0, 4), size=(1, 1)
    )
    with pytest.raises(NonFiniteError):
        match(*stack_stages([output]), pad_targets([tiny], like=output.boxes), CONFIG)


def test_half_precision_is_matched_in_single() -> None:
    stages = [StageOutput(*(part.bfloat16() for part in stage)) for stage in random_stages()]
    padded = pad_targets([image_with(2), image_with(3)], like=stages[0].boxes)
    assert padded.boxes.dtype == torch.float32
    in_half = match(*stack_stages(stages), padded, CONFIG)
    in_single = match(*stack_stages([StageOutput(*(p.float() for p in stage)) for stage in stages]), padded, CONFIG)
    assert torch.equal(in_half.prediction, in_single.prediction)
