"""What counts as the same detections, and what does not."""

import math

import pytest
import torch

from tests.tiny import TINY_MODEL
from uncrowd.errors import NonFiniteError
from uncrowd.inference.export_check import check, differences, made_up
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.models.stage import Stage
from uncrowd.structures import Decoded

SIZES = torch.tensor([[100, 100]])
BOXES = [[0.0, 0, 10, 10], [20.0, 20, 40, 40], [60.0, 60, 90, 90]]


def decoded(boxes: list[list[float]], scores: list[float], labels: list[int]) -> Decoded:
    return Decoded(torch.tensor([boxes]), torch.tensor([scores]), torch.tensor([labels]))


EXPECTED = decoded(BOXES, [0.9, 0.5, 0.5], [0, 1, 1])


@pytest.mark.parametrize(
    ("found", "pixels", "score"),
    [
        (EXPECTED, [0, 0, 0], [0, 0, 0]),
        (decoded([BOXES[0], BOXES[2], BOXES[1]], [0.9, 0.5, 0.5], [0, 1, 1]), [0, 0, 0], [0, 0, 0]),  # a tie
        (decoded([BOXES[0], BOXES[1], [60.0, 60, 90, 92]], [0.8, 0.5, 0.5], [0, 1, 1]), [0, 0, 2], [0.1, 0, 0]),
        (decoded([[-70.0, 0, 10, 10], *BOXES[1:]], [0.9, 0.5, 0.5], [0, 1, 1]), [0, 0, 0], [0, 0, 0]),  # outside
        (decoded(BOXES, [0.9, 0.5, 0.5], [1, 1, 1]), [math.inf, 0, 0], [math.inf, 0, 0]),  # another class
        (decoded([BOXES[0]] * 3, [0.9, 0.5, 0.5], [0, 1, 1]), [0, 30, 80], [0, 0, 0]),  # one box is not three
        (decoded(BOXES, [math.nan, 0.5, 0.5], [0, 1, 1]), [0, 0, 0], [math.inf, 0, 0]),
    ],
)
def test_detections_are_paired(found: Decoded, pixels: list[float], score: list[float]) -> None:
    expected = torch.tensor([pixels, score], dtype=torch.float64).T
    torch.testing.assert_close(differences(found, EXPECTED, SIZES), expected, rtol=0, atol=1e-6)


def test_a_model_is_as_far_from_double_precision_as_itself() -> None:
    torch.manual_seed(0)
    model = SparseRCNN(TINY_MODEL)
    checked = check(model, model)
    assert checked.images == 5
    assert checked.exported == checked.torch
    assert 0 < checked.torch.score <= checked.torch.most_score < 1e-4


def test_another_model_fails_the_check() -> None:
    torch.manual_seed(0)
    with pytest.raises(RuntimeError, match="finds other objects than the model it was exported from"):
        check(SparseRCNN(TINY_MODEL), SparseRCNN(TINY_MODEL))


def test_damaged_weights_are_reported() -> None:
    model = SparseRCNN(TINY_MODEL)
    with torch.no_grad():
        model.proposal_queries[0, 0] = math.nan
    with pytest.raises(NonFiniteError, match="its weights are damaged"):
        check(model, model)


def test_an_overflow_in_single_precision_is_reported() -> None:
    """Otherwise it would pass, because torch itself is then infinitely far from double precision."""
    model = SparseRCNN(TINY_MODEL)
    with torch.no_grad():
        stage = model.head.stages[-1]
        assert isinstance(stage, Stage)
        stage.class_logits.weight.fill_(3e38)
        stage.box_deltas.bias.copy_(torch.tensor([3e38, 0, 0, 0]))
    with pytest.raises(NonFiniteError, match="its weights are damaged"):
        check(model, model)


def test_made_up_images_are_always_the_same() -> None:
    images, sizes = made_up([(30, 40), (20, 50)], seed=3)
    assert images.shape == (2, 3, 30, 50)
    assert sizes.tolist() == [[30, 40], [20, 50]]
    assert images.float().std() > 10
    assert torch.equal(images, made_up([(30, 40), (20, 50)], seed=3)[0])
    assert not torch.equal(images, made_up([(30, 40), (20, 50)], seed=4)[0])
