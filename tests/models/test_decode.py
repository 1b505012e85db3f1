"""Duplicates are ranked lower, as a slow and obvious twin does it; the other rules are tested with their detectors."""

from dataclasses import replace

import pytest
import torch

from tests.tiny import TINY_MODEL
from uncrowd.boxes import iou
from uncrowd.errors import InputError
from uncrowd.models.decode import NEGLIGIBLE, ROUNDS, lower_duplicates
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.structures import Decoded


def crowd(images: int = 2, number: int = ROUNDS, places: int = 3) -> Decoded:
    """Boxes of two classes, best first; so many of them overlap each other much at each of several places."""
    generator = torch.Generator().manual_seed(0)
    corners = 20 * torch.rand(images, places, number, 2, generator=generator)
    sides = 10 + 10 * torch.rand(images, places, number, 2, generator=generator)
    boxes = torch.cat([corners, corners + sides], dim=-1) + 100 * torch.arange(places)[:, None, None]
    order = torch.randperm(places * number, generator=generator)
    return Decoded(
        boxes=boxes.flatten(1, 2)[:, order],
        scores=torch.rand(images, places * number, generator=generator).sort(descending=True).values,
        labels=torch.randint(2, (images, places * number), generator=generator),
    )


def one_by_one(decoded: Decoded, power: float) -> list[list[tuple[float, int]]]:
    """Returns the (score, index) of each detection of each image, best first: Soft-NMS with another factor."""
    images = []
    for boxes, scores, labels in zip(*decoded, strict=True):
        waiting, settled = dict(enumerate(scores.tolist())), []
        while waiting:
            best = max(waiting, key=lambda each: (waiting[each], -each))
            settled.append((waiting.pop(best), best))
            for each in waiting:
                factor = 1 - float(iou(boxes[each], boxes[best])) ** power
                if labels[each] == labels[best] and factor <= NEGLIGIBLE:
                    waiting[each] *= factor
        images.append(settled)
    return images


@pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
def test_scores_and_order_are_those_of_the_twin(power: float) -> None:
    decoded = crowd()
    found = lower_duplicates(decoded, power)
    for image, expected in enumerate(one_by_one(decoded, power)):
        scores, order = (torch.tensor(values) for values in zip(*expected, strict=True))
        torch.testing.assert_close(found.scores[image], scores)
        assert torch.equal(found.boxes[image], decoded.boxes[image, order])
        assert torch.equal(found.labels[image], decoded.labels[image, order])


def test_where_rounds_do_not_suffice_the_last_are_lowered_too_little() -> None:
    decoded = crowd(number=5 * ROUNDS, places=1)
    found = lower_duplicates(decoded, 2.0)
    for image, expected in enumerate(one_by_one(decoded, 2.0)):
        scores = torch.tensor([score for score, _ in expected])
        torch.testing.assert_close(found.scores[image, :ROUNDS], scores[:ROUNDS])
        assert (found.scores[image] >= scores - 1e-6).all()
        assert found.scores[image].sum() > scores.sum() + 0.01


def test_one_of_two_equal_detections_stays() -> None:
    decoded = Decoded(
        boxes=torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 5]]]),
        scores=torch.tensor([[0.8, 0.8, 0.8]]),
        labels=torch.zeros(1, 3, dtype=torch.int64),
    )
    torch.testing.assert_close(lower_duplicates(decoded, 2.0).scores, torch.tensor([[0.8, 0.6, 0.0]]))


def test_the_best_and_those_that_overlap_no_better_one_keep_their_scores() -> None:
    twice, elsewhere = [0.0, 0, 10, 10], [50.0, 50, 60, 60]
    decoded = Decoded(
        boxes=torch.tensor([[twice, twice, twice, elsewhere]]),
        scores=torch.tensor([[0.9, 0.8, 0.7, 0.3]]),
        labels=torch.tensor([[0, 0, 1, 0]]),
    )
    found = lower_duplicates(decoded, 4.0)
    # The second is a duplicate of the first and falls to the end; the third is of another class.
    torch.testing.assert_close(found.scores, torch.tensor([[0.9, 0.7, 0.3, 0.0]]))
    assert found.labels.tolist() == [[0, 1, 0, 0]]


def test_under_autocast_scores_are_those_without() -> None:
    decoded = crowd()
    with torch.autocast("cpu", torch.bfloat16):
        found = lower_duplicates(decoded, 2.0)
    for ours, expected in zip(found, lower_duplicates(decoded, 2.0), strict=True):
        assert torch.equal(ours, expected)


def test_an_infinite_power_leaves_scores_as_they_are() -> None:
    decoded = crowd()
    for ours, before in zip(lower_duplicates(decoded, float("inf")), decoded, strict=True):
        assert torch.equal(ours, before)


def test_it_is_a_setting_of_the_model() -> None:
    torch.manual_seed(0)
    paper = SparseRCNN(TINY_MODEL).eval()
    lowering = SparseRCNN(replace(TINY_MODEL, lower_duplicates=2.0)).eval()
    lowering.load_state_dict(paper.state_dict())
    images, sizes = torch.randint(255, (1, 3, 64, 96), dtype=torch.uint8), torch.tensor([[64, 96]])
    expected = lower_duplicates(paper.detect(images, sizes), 2.0)
    for ours, theirs in zip(lowering.detect(images, sizes), expected, strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(InputError, match=r"lower_duplicates is 0\.5; give 1 or more"):
        replace(TINY_MODEL, lower_duplicates=0.5)
