"""The duplicate of a kept detection falls behind a worse one of another object."""

import torch
from benchmarks.claims.lowered import POWER, lowered

from uncrowd.structures import Categories, Detections


def test_a_duplicate_falls_behind_a_neighbour() -> None:
    # The second box is the first, one pixel to the right: IoU 9/11. The third overlaps none.
    found = Detections(
        boxes=torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 0, 60, 10]]),
        scores=torch.tensor([0.9, 0.8, 0.6]),
        labels=torch.zeros(3, dtype=torch.int64),
        categories=Categories(ids=(1,), names=("person",)),
    )
    ranked = lowered(found)
    assert ranked.boxes[:, 0].tolist() == [0, 50, 1]
    torch.testing.assert_close(ranked.scores, torch.tensor([0.9, 0.6, 0.8 * (1 - (9 / 11) ** POWER)]))
