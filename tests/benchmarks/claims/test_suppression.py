"""NMS and Soft-NMS equal slow twins that handle one box after the other, and keep apart what has different classes."""

import math

import pytest
import torch
from benchmarks.claims.suppression import LEAST, SIGMA, nms, soft_nms

from uncrowd.boxes import iou
from uncrowd.structures import Categories, Detections

CATEGORIES = Categories(ids=(1, 2), names=("person", "dog"))


def candidates(seed: int, count: int) -> Detections:
    """Returns boxes that overlap much, best first."""
    generator = torch.Generator().manual_seed(seed)
    corners = 12 * torch.rand(count, 2, generator=generator)
    return Detections(
        boxes=torch.cat([corners, corners + 8 + 8 * torch.rand(count, 2, generator=generator)], dim=1),
        scores=torch.rand(count, generator=generator).sort(descending=True).values,
        labels=torch.randint(2, (count,), generator=generator),
        categories=CATEGORIES,
    )


@pytest.mark.parametrize("seed", range(3))
def test_soft_nms_equals_its_twin(seed: int) -> None:
    given = candidates(seed, 30)
    left = list(range(30))
    scores = given.scores.tolist()
    expected: list[tuple[int, float]] = []
    while left and (best := max(left, key=lambda i: scores[i])) is not None and scores[best] >= LEAST:
        left.remove(best)
        expected.append((best, scores[best]))
        for i in left:
            if given.labels[i] == given.labels[best]:
                scores[i] *= math.exp(-(iou(given.boxes[i], given.boxes[best]).item() ** 2) / SIGMA)
    found = soft_nms(given, most=100)
    assert 0 < len(found) == len(expected)
    order = [i for i, _ in expected]
    assert found.boxes.equal(given.boxes[order])
    assert found.labels.equal(given.labels[order])
    torch.testing.assert_close(found.scores, torch.tensor([score for _, score in expected]))
    assert soft_nms(given, most=5).boxes.equal(found.boxes[:5])


@pytest.mark.parametrize("threshold", [0.3, 0.6])
def test_nms_equals_its_twin(threshold: float) -> None:
    given = candidates(0, 30)
    kept: list[int] = []
    for i in range(30):
        rivals = [j for j in kept if given.labels[j] == given.labels[i]]
        if all(iou(given.boxes[i], given.boxes[j]) <= threshold for j in rivals):
            kept.append(i)
    found = nms(given, iou=threshold, most=100)
    assert 0 < len(kept) < 30
    assert (found.boxes.equal(given.boxes[kept]), found.scores.equal(given.scores[kept])) == (True, True)
    assert len(nms(given, iou=threshold, most=3)) == 3


def test_of_nothing_comes_nothing() -> None:
    nothing = candidates(0, 0)
    assert (len(nms(nothing, iou=0.5, most=9)), len(soft_nms(nothing, most=9))) == (0, 0)
