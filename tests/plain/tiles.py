"""The merging of tiles, one detection and one pair at a time, with one dense Hungarian problem for each seam."""

from collections.abc import Callable
from math import inf, sqrt
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from tests.plain.iou import Box, area, intersection, iou


class Found(NamedTuple):
    box: Box
    score: float
    label: int
    tile: int


Line = list[tuple[int, int]]


def borders_of(tile: int, rows: Line, columns: Line) -> Box:
    if tile < 0:
        return [-inf, -inf, inf, inf]
    row, column = divmod(tile, len(columns))
    x1, y1 = columns[column][0] if column else -inf, rows[row][0] if row else -inf
    x2 = columns[column][1] if column + 1 < len(columns) else inf
    y2 = rows[row][1] if row + 1 < len(rows) else inf
    return [x1, y1, x2, y2]


def merge(found: list[Found], rows: Line, columns: Line, overlap: int) -> list[int]:
    def borders(one: Found) -> Box:
        return borders_of(one.tile, rows, columns)

    def room(one: Found, side: int) -> float:
        distance = one.box[side] - borders(one)[side]
        return distance if side < 2 else -distance

    def is_cut(one: Found, side: int) -> bool:
        return room(one, side) <= near(one, side)

    def near(one: Found, side: int) -> float:
        extent = one.box[2 + side % 2] - one.box[side % 2]
        return overlap / 16 + extent / 8

    def worth(one: Found, side: int) -> float:
        return -1 / area(one.box) if is_cut(one, side) else one.score * room(one, side)

    def line(parts: list[list[Found]], spans: Line, axis: int) -> list[Found]:
        whole = parts[0]
        for part, (start, _), (_, end) in zip(parts[1:], spans[1:], spans, strict=False):
            whole = seam(whole, part, axis, start, end)
        return whole

    def seam(first: list[Found], second: list[Found], axis: int, start: int, end: int) -> list[Found]:
        def gain(a: Found, b: Found) -> float:
            if a.box[axis + 2] <= start or b.box[axis] >= end:
                return 0
            box_a, box_b = [*a.box], [*b.box]
            if is_cut(b, axis):
                box_a[axis] = max(box_a[axis], start)
            if is_cut(a, axis + 2):
                box_b[axis + 2] = min(box_b[axis + 2], borders(a)[axis + 2])
            inside = share(box_a, box_b) if is_cut(a, axis + 2) else share(box_b, box_a) if is_cut(b, axis) else 0
            possible = iou(box_a, box_b) >= 0.4 or inside >= 0.7
            return iou(box_a, box_b) ** 2 * sqrt(a.score * b.score) if possible else 0

        pairs = one_to_one(first, second, gain)
        lost = [a if worth(a, axis + 2) < worth(b, axis) else b for a, b in pairs]
        paired = [one for pair in pairs for one in pair]
        parts = [a for a in first if is_cut(a, axis + 2) and a.box[axis] - start > near(a, axis)]
        parts += [b for b in second if is_cut(b, axis) and end - b.box[axis + 2] > near(b, axis)]
        lost += [part for part in parts if not contains(paired, part)]
        return [one for one in [*first, *second] if not contains(lost, one)]

    tiles = [[one for one in found if one.tile == tile] for tile in range(len(rows) * len(columns))]
    merged = [line(tiles[start : start + len(columns)], columns, 0) for start in range(0, len(tiles), len(columns))]
    kept = line(merged, rows, 1)
    parts = [one for one in kept if any(is_cut(one, side) for side in range(4))]
    whole = [one for one in kept if not contains(parts, one)]
    coarse = [one for one in found if one.tile < 0]
    large = [one for one in coarse if max(one.box[2] - one.box[0], one.box[3] - one.box[1]) > overlap / 2]
    lost = [one for one in coarse if not contains(large, one)]

    def agreement(a: Found, b: Found) -> float:
        return iou(a.box, b.box) ** 2 * sqrt(a.score * b.score) if iou(a.box, b.box) >= 0.4 else 0

    pairs = one_to_one(coarse, whole, agreement)
    lost += [b if contains(large, a) and a.score > b.score else a for a, b in pairs]
    for part in parts:
        for one in (one for one in large if one.label == part.label):
            x1, y1, x2, y2 = borders(part)
            in_tile = [max(one.box[0], x1), max(one.box[1], y1), min(one.box[2], x2), min(one.box[3], y2)]
            same, trusted = iou(in_tile, part.box) >= 0.4, one.score >= part.score / 2
            if same:
                lost.append(part if trusted else one)
    return [number for number, one in enumerate(found) if contains([*kept, *coarse], one) and not contains(lost, one)]


def one_to_one(
    first: list[Found], second: list[Found], gain: Callable[[Found, Found], float]
) -> list[tuple[Found, Found]]:
    if not first or not second:
        return []
    gains = np.array([[gain(a, b) if a.label == b.label else 0 for b in second] for a in first])
    pairs = zip(*linear_sum_assignment(gains, maximize=True), strict=True)
    return [(first[i], second[j]) for i, j in pairs if gains[i, j] > 0]


def contains(several: list[Found], one: Found) -> bool:
    return any(each is one for each in several)


def share(box: Box, region: Box) -> float:
    return intersection(box, region) / area(box) if area(box) else 0.0
