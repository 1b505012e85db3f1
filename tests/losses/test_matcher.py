"""One-to-one assignment: the cheapest there is, whatever the number of objects."""

import pytest
import torch
from torch import Tensor

from tests.plain.criterion import matched_pairs
from tests.plain.matching_cost import cheapest_assignment, pair_cost
from uncrowd.errors import NonFiniteError
from uncrowd.losses.matcher import LossWeights, Matching, match, matching_cost, pad_targets
from uncrowd.structures import StageOutput, Target

HEIGHT, WIDTH, CLASSES = 80, 120, 3
WEIGHTS = LossWeights()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def random_boxes(*shape: int) -> Tensor:
    corner = torch.rand(*shape, 2, dtype=torch.float64) * torch.tensor([WIDTH, HEIGHT]) - 5  # some leave the picture
    return torch.cat([corner, corner + 1 + torch.rand(*shape, 2, dtype=torch.float64) * 50], dim=-1)


def random_stages(stages: int = 2, pictures: int = 2, predictions: int = 5) -> list[StageOutput]:
    return [
        StageOutput(
            logits=torch.randn(pictures, predictions, CLASSES, dtype=torch.float64),
            boxes=random_boxes(pictures, predictions),
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


def pairs_of(matching: Matching, stage: int, picture: int) -> list[tuple[int, int]]:
    own = matching.picture[stage] == picture
    return list(zip(matching.prediction[stage][own].tolist(), matching.target[stage][own].tolist(), strict=True))


def test_the_cost_is_the_plain_loop() -> None:
    stages, targets = random_stages(), [picture_with(3), picture_with(4)]
    padded = pad_targets(targets, like=stages[0].boxes)
    logits, boxes = (torch.stack(part) for part in list(zip(*stages, strict=True))[:2])
    cost = matching_cost(logits, boxes, padded, WEIGHTS)
    assert cost.shape == (2, 2, 5, 4)  # stages, pictures, predictions, places for objects
    for stage, output in enumerate(stages):
        for picture, target in enumerate(targets):
            for prediction in range(5):
                for index, (label, box) in enumerate(zip(target.labels.tolist(), target.boxes.tolist(), strict=True)):
                    expected = pair_cost(
                        output.logits[picture, prediction].tolist(),
                        output.boxes[picture, prediction].tolist(),
                        label,
                        box,
                        target.size,
                    )
                    assert cost[stage, picture, prediction, index].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("objects", [(3, 3), (1, 4), (0, 2), (5, 5), (7, 1)], ids=str)
def test_the_assignment_is_the_best_of_all(objects: tuple[int, int]) -> None:
    stages, targets = random_stages(), [picture_with(n) for n in objects]
    matching, _ = match(stages, pad_targets(targets, like=stages[0].boxes), WEIGHTS)
    expected = matched_pairs(stages, targets)  # tries every permutation
    for stage in range(len(stages)):
        for picture, count in enumerate(objects):
            pairs = pairs_of(matching, stage, picture)
            assert len(pairs) == min(5, count)  # more objects than proposals leave some objects out
            assert pairs == expected[stage][picture]


def test_trying_all_assignments_finds_the_obvious_one() -> None:
    """The twin itself, on a problem one can do in one's head: the greedy choice of 1 would cost 1 + 9."""
    assert cheapest_assignment([[1.0, 2], [2, 9]]) == (4.0, [(0, 1), (1, 0)])


def test_pictures_without_objects_match_nothing() -> None:
    stages, targets = random_stages(), [picture_with(0), picture_with(0)]
    matching, _ = match(stages, pad_targets(targets, like=stages[0].boxes), WEIGHTS)
    assert matching.prediction.shape == (2, 0)


def test_ties_are_broken_alike_every_time() -> None:
    """As at the start of training: all proposals are the whole picture."""
    output = StageOutput(
        logits=torch.zeros(1, 6, CLASSES),
        boxes=torch.tensor([0.0, 0, WIDTH, HEIGHT]).expand(1, 6, 4),
        queries=torch.zeros(1, 6, 8),
    )
    padded = pad_targets([picture_with(3)], like=output.boxes)
    first, _ = match([output], padded, WEIGHTS)
    again, _ = match([output], padded, WEIGHTS)
    assert pairs_of(first, 0, 0) == pairs_of(again, 0, 0)
    assert len(set(first.prediction[0].tolist())) == 3


def test_watched_values_ride_along() -> None:
    stages = random_stages()
    _, watched = match(
        stages, pad_targets([picture_with(1)] * 2, like=stages[0].boxes), WEIGHTS, torch.tensor([0.5, 3])
    )
    assert watched == [0.5, 3]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["logits", "boxes"])
@pytest.mark.parametrize("objects", [0, 2])
def test_predictions_that_are_not_finite_are_noticed(part: str, bad: float, objects: int) -> None:
    stages = random_stages()
    getattr(stages[1], part)[0, 2, 1] = bad
    with pytest.raises(NonFiniteError, match="not finite") as error:
        match(stages, pad_targets([picture_with(objects)] * 2, like=stages[0].boxes), WEIGHTS, torch.tensor([7.0]))
    assert error.value.watched == [7]


def test_a_box_so_far_away_that_its_cost_overflows_is_noticed() -> None:
    output = StageOutput(
        logits=torch.zeros(1, 2, CLASSES),
        boxes=torch.tensor([[[0.0, 0, 10, 10], [-3e38, -3e38, 3e38, 3e38]]]),
        queries=torch.zeros(1, 2, 8),
    )
    tiny = Target(
        boxes=torch.tensor([[0.0, 0, 1, 1]]), labels=torch.tensor([0]), ignored=torch.zeros(0, 4), size=(1, 1)
    )
    with pytest.raises(NonFiniteError):
        match([output], pad_targets([tiny], like=output.boxes), WEIGHTS)


def test_half_precision_is_matched_in_single() -> None:
    stages = [StageOutput(*(part.bfloat16() for part in stage)) for stage in random_stages()]
    padded = pad_targets([picture_with(2), picture_with(3)], like=stages[0].boxes)
    assert padded.boxes.dtype == torch.float32
    in_half, _ = match(stages, padded, WEIGHTS)
    in_single, _ = match([StageOutput(*(part.float() for part in stage)) for stage in stages], padded, WEIGHTS)
    assert torch.equal(in_half.prediction, in_single.prediction)
