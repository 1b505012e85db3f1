"""Merges the detections of overlapping tiles and of a coarse pass over the whole image, without deleting neighbours.

Each object is to come out once. Two tiles that overlap see it twice, or one of them sees a part that its border cuts
off. Detections of different tiles are therefore matched one to one, so that two neighbours that both tiles see stay
two; detections of one tile are never compared with each other. Tiles become rows and rows the image, one seam after the
other. An object that no tile holds whole comes from the coarse pass.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from uncrowd.boxes import area, iou, own_share
from uncrowd.inference.one_to_one import assign, close_pairs

# Least IoU of two detections of one object. A wrong pair needs two neighbours of which each tile finds another one.
SAME = 0.4
# Least share of a part that lies in the box of the whole object.
INSIDE = 0.7
# An object counts as cut by a border inside the image if it ends closer to it than these shares of the overlap and of
# its own extent, added: the sides of a detection are as uncertain as it is large.
NEAR, UNCERTAIN = 1 / 16, 1 / 8
# A part gives way to the whole object of the coarse pass if that has at least this share of its score.
TRUSTED = 0.5


class Grid(NamedTuple):
    """Where each row of tiles begins and ends in y, and each column in x."""

    rows: Sequence[tuple[int, int]]
    columns: Sequence[tuple[int, int]]

    @property
    def tiles(self) -> int:
        """The number of tiles. An image of one is detected in as a whole."""
        return len(self.rows) * len(self.columns)


class Views(NamedTuple):
    """The detections of all tiles and of the coarse pass, in image pixels.

    tile: the number of the tile, row by row, or -1 for the coarse pass.
    """

    boxes: Float[Tensor, "n 4"]
    scores: Float[Tensor, " n"]
    labels: Int64[Tensor, " n"]
    tile: Int64[Tensor, " n"]


def merge(views: Views, grid: Grid, overlap: int) -> Int64[Tensor, " k"]:
    """Returns the indices of the detections to keep, in ascending order.

    If every object is found in each tile that holds it whole, and perhaps as a part in others, it is kept once: one up
    to `overlap` pixels wide and high is whole in some tile, and the coarse pass sees the larger ones. Time is
    near-linear in the number of detections, because only those in one overlap are compared.
    """
    merging = _Merging(views, grid, overlap)
    columns = len(grid.columns)
    of_tile = [torch.nonzero(views.tile == tile)[:, 0] for tile in range(columns * len(grid.rows))]
    rows = [
        merging.line(of_tile[start : start + columns], grid.columns, axis=0)
        for start in range(0, len(of_tile), columns)
    ]
    return torch.cat(merging.with_coarse(merging.line(rows, grid.rows, axis=1))).sort().values


class _Merging:
    """Rules for detections, which are given and returned as indices."""

    def __init__(self, views: Views, grid: Grid, overlap: int) -> None:
        self.boxes, self.scores, self.labels, self.tile = views
        self.overlap = overlap
        self.borders = _borders(views.tile, grid)
        # How far each side of a box is from that border: below 0 outside the tile.
        self.room = (self.borders - self.boxes) * torch.tensor([-1, -1, 1, 1])
        self.near = NEAR * overlap + UNCERTAIN * (self.boxes[:, 2:] - self.boxes[:, :2]).repeat(1, 2)
        self.is_cut = self.room <= self.near

    def line(self, parts: Sequence[Tensor], spans: Sequence[tuple[int, int]], axis: int) -> Tensor:
        """Merges parts of the image that follow each other along an axis (0: x, 1: y)."""
        settled, first = [], parts[0]
        for second, (start, _), (_, end) in zip(parts[1:], spans[1:], spans, strict=False):
            reaches, begins = self.boxes[first, axis + 2] > start, self.boxes[second, axis] < end
            settled.append(first[~reaches])
            first = torch.cat([*self._seam(first[reaches], second[begins], axis, start, end), second[~begins]])
        return torch.cat([*settled, first])

    def _seam(self, first: Tensor, second: Tensor, axis: int, start: int, end: int) -> tuple[Tensor, Tensor]:
        """Merges detections of two neighbours that reach into their overlap, which is from `start` to `end`."""
        low, high = axis, axis + 2
        pairs = self._pairs(first, second, 1 - axis)
        a, b = first[pairs[0]], second[pairs[1]]
        cut_a, cut_b = self.is_cut[a, high], self.is_cut[b, low]
        # What one tile cuts off is also cut off from the box of the other before they are compared.
        boxes_a, boxes_b = self.boxes[a], self.boxes[b]
        boxes_a[:, low] = boxes_a[:, low].where(~cut_b, boxes_a[:, low].maximum(self.borders[b, low]))
        boxes_b[:, high] = boxes_b[:, high].where(~cut_a, boxes_b[:, high].minimum(self.borders[a, high]))
        ious = iou(boxes_a, boxes_b)
        inside = torch.where(cut_a, own_share(boxes_a, boxes_b), torch.where(cut_b, own_share(boxes_b, boxes_a), 0.0))
        one, other = self._one_to_one(pairs, first, second, ious, (ious >= SAME) | (inside >= INSIDE))
        better = self._worth(first[one], high) >= self._worth(second[other], low)
        # A part without a partner is left out where the neighbour would hold the whole object, had it found one.
        keep_first = ~(self.is_cut[first, high] & (self.boxes[first, low] - start > self.near[first, low]))
        keep_second = ~(self.is_cut[second, low] & (end - self.boxes[second, high] > self.near[second, high]))
        keep_first[one], keep_second[other] = better, ~better
        return first[keep_first], second[keep_second]

    def with_coarse(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Returns those to keep of the tiles and of the coarse pass, which is trusted with large objects only.

        Whole objects are matched one to one. The tile's is kept, or the coarse one if it is large and has a higher
        score. Of a part in a tile and what the tile sees of a coarse one, if they are the same, the coarse one is kept,
        unless its score is much lower.
        """
        coarse = torch.nonzero(self.tile < 0)[:, 0]
        is_part = self.is_cut[tiles].any(dim=1)
        whole, parts = tiles[~is_part], tiles[is_part]

        pairs = self._pairs(coarse, whole, axis=1)
        ious = iou(self.boxes[coarse[pairs[0]]], self.boxes[whole[pairs[1]]])
        one, other = self._one_to_one(pairs, coarse, whole, ious, ious >= SAME)
        sides = self.boxes[coarse, 2:] - self.boxes[coarse, :2]
        keep_coarse, keep_whole = sides.amax(dim=1) > self.overlap / 2, torch.ones_like(whole, dtype=torch.bool)
        large = coarse[keep_coarse]
        keep_coarse[one] &= self.scores[coarse[one]] > self.scores[whole[other]]
        keep_whole[other] = ~keep_coarse[one]

        i, j = self._pairs(large, parts, axis=1)
        a, b = large[i], parts[j]
        low, high = self.borders[b].split(2, dim=1)
        in_tile = torch.cat([self.boxes[a, :2].maximum(low), self.boxes[a, 2:].minimum(high)], dim=1)
        same = iou(in_tile, self.boxes[b]) >= SAME
        trusted = self.scores[a] >= TRUSTED * self.scores[b]
        keep_part = torch.ones_like(parts, dtype=torch.bool)
        keep_part[j[same & trusted]] = False
        coarse = coarse[keep_coarse]
        coarse = coarse[~torch.isin(coarse, a[same & ~trusted])]
        return torch.cat([whole[keep_whole], parts[keep_part]]), coarse

    def _pairs(self, first: Tensor, second: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """Returns the pairs of one class that meet along an axis, as positions in `first` and `second`."""
        i, j = close_pairs(self.boxes[first], self.boxes[second], axis)
        same = self.labels[first[i]] == self.labels[second[j]]
        return i[same], j[same]

    def _one_to_one(
        self, pairs: tuple[Tensor, Tensor], first: Tensor, second: Tensor, ious: Tensor, possible: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the pairs with the greatest sum of squared IoUs, weighted by scores so that good ones are paired."""
        i, j = (side[possible] for side in pairs)
        weights = ious[possible] ** 2 * (self.scores[first[i]] * self.scores[second[j]]).sqrt()
        chosen = assign((i, j), weights + 1e-9)
        return i[chosen], j[chosen]

    def _worth(self, found: Tensor, side: int) -> Tensor:
        """Returns score times distance from the border; below 0 for a part, and then more for a larger one."""
        whole = self.scores[found] * self.room[found, side]
        return whole.where(~self.is_cut[found, side], -1 / area(self.boxes[found]))


def _borders(tile: Int64[Tensor, " n"], grid: Grid) -> Float[Tensor, "n 4"]:
    """Returns the borders of each detection's tile as (x1, y1, x2, y2), infinitely far where the image ends."""
    top, bottom = _inner(grid.rows)
    left, right = _inner(grid.columns)
    row, column = tile.clamp(min=0) // len(grid.columns), tile.clamp(min=0) % len(grid.columns)
    borders = torch.stack([left[column], top[row], right[column], bottom[row]], dim=1)
    nowhere = borders.new_tensor([-torch.inf, -torch.inf, torch.inf, torch.inf])
    return borders.where(tile[:, None] >= 0, nowhere)


def _inner(spans: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    starts, ends = torch.tensor(spans, dtype=torch.float32).unbind(1)
    starts[0], ends[-1] = -torch.inf, torch.inf
    return starts, ends
