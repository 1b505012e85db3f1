"""Matches two sets of boxes one to one without comparing all pairs."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

Pairs = tuple[Int64[Tensor, " p"], Int64[Tensor, " p"]]


def close_pairs(boxes1: Float[Tensor, "n 4"], boxes2: Float[Tensor, "m 4"], axis: int) -> Pairs:
    """Returns the indices (i, j) of all pairs whose extents along an axis (0: x, 1: y) meet.

    The boxes of the second set are sorted by where they begin. Those that meet a box begin before it ends, and not
    earlier than the longest of them before it begins.
    """
    begins, order = boxes2[:, axis].sort()
    low, high = (boxes1[:, side].contiguous() for side in (axis, axis + 2))
    longest = (boxes2[:, axis + 2] - boxes2[:, axis]).amax() if len(boxes2) else 0.0
    first = torch.searchsorted(begins, low - longest)
    counts = torch.searchsorted(begins, high, right=True) - first
    i = torch.repeat_interleave(counts)
    j = order[torch.arange(len(i)) - (counts.cumsum(0) - counts - first)[i]]
    meets = boxes2[j, axis + 2] >= low[i]
    return i[meets], j[meets]


def assign(pairs: Pairs, weights: Float[Tensor, " p"]) -> Int64[Tensor, " k"]:
    """Returns which of the pairs to choose so that no index is in two of them and the sum of their weights is greatest.

    weights: above 0. Pairs that share no index directly or through others are separate, small Hungarian problems.
    """
    if len(weights) == 0:
        return torch.zeros(0, dtype=torch.int64)
    (rows, i), (columns, j) = (np.unique(side.numpy(), return_inverse=True) for side in pairs)
    nodes = len(rows) + len(columns)
    graph = coo_array((np.ones(len(i), bool), (i, j + len(rows))), shape=(nodes, nodes))
    group = connected_components(graph, directed=False)[1][i]
    order = np.argsort(group, kind="stable")
    chosen = []
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(members) == 1:
            chosen.append(members)
            continue
        (own_rows, r), (own_columns, c) = (np.unique(side[members], return_inverse=True) for side in (i, j))
        number = np.full((len(own_rows), len(own_columns)), -1)
        weight = np.zeros(number.shape)
        number[r, c], weight[r, c] = members, weights.numpy()[members]
        best = number[linear_sum_assignment(weight, maximize=True)]
        chosen.append(best[best >= 0])
    return torch.from_numpy(np.concatenate(chosen))
