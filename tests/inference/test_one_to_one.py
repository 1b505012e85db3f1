"""Boxes are matched one to one as by one Hungarian problem of all pairs."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from uncrowd.boxes import pairwise_iou
from uncrowd.inference.one_to_one import assign, close_pairs


def boxes(rng: np.random.Generator, count: int) -> torch.Tensor:
    corner, size = rng.uniform(0, 80, (count, 2)), rng.uniform(1, 30, (count, 2))
    return torch.from_numpy(np.concatenate([corner, corner + size], axis=1)).float()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("n", "m"), [(0, 4), (4, 0), (30, 40)])
def test_close_pairs_are_those_whose_extents_meet(axis: int, n: int, m: int) -> None:
    rng = np.random.default_rng(0)
    ours, theirs = boxes(rng, n), boxes(rng, m)
    found = {(int(i), int(j)) for i, j in zip(*close_pairs(ours, theirs, axis), strict=True)}
    expected = {
        (i, j)
        for i, a in enumerate(ours.tolist())
        for j, b in enumerate(theirs.tolist())
        if a[axis] <= b[axis + 2] and b[axis] <= a[axis + 2]
    }
    assert found == expected


@pytest.mark.parametrize("seed", range(5))
def test_the_choice_has_the_greatest_sum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ious = pairwise_iou(boxes(rng, 40), boxes(rng, 60))
    i, j = torch.nonzero(ious > 0.05, as_tuple=True)
    chosen = assign((i, j), ious[i, j])
    assert len(i[chosen].unique()) == len(j[chosen].unique()) == len(chosen)
    dense = ious.where(ious > 0.05, 0).numpy()
    assert ious[i, j][chosen].sum().item() == pytest.approx(dense[linear_sum_assignment(dense, maximize=True)].sum())


def test_no_pairs_give_no_choice() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    assert assign((nothing, nothing), torch.zeros(0)).tolist() == []
