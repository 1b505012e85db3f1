"""Box geometry returns finite numbers and finite gradients for whatever boxes a network or a file contains."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.plain import iou as plain
from uncrowd.boxes import (
    MAX_LOG_SCALE,
    MOVE_WEIGHT,
    apply_deltas,
    area,
    clip,
    cxcywh_to_xyxy,
    flip_horizontally,
    giou,
    iou,
    pairwise_giou,
    pairwise_iou,
    rescale,
    xywh_to_xyxy,
    xyxy_to_xywh,
)

INF, NAN = math.inf, math.nan
# Sixteenths of a pixel: sides are 0 or not tiny, and their sums are exact.
coordinates = st.integers(-16_000, 32_000).map(lambda sixteenths: sixteenths / 16)
anything = st.tuples(coordinates, coordinates, coordinates, coordinates)  # inverted and empty boxes, too
ODD = {
    "ordinary": [10.0, 10, 20, 30],
    "the same again": [10.0, 10, 20, 30],
    "zero area": [5.0, 5, 5, 5],
    "zero area again": [5.0, 5, 5, 5],
    "a line": [5.0, 5, 5, 50],
    "inverted": [20.0, 30, 10, 10],
    "far away": [1e30, 1e30, 2e30, 2e30],
    "huge": [-1e30, -1e30, 1e30, 1e30],
    "infinite": [-INF, -INF, INF, INF],
    "half infinite": [0.0, 0, INF, 10],
    "NaN": [NAN, NAN, NAN, NAN],
    "one NaN": [0.0, NAN, 10, 10],
}


def double(boxes: object) -> Tensor:
    return torch.tensor(boxes, dtype=torch.float64)


@given(st.lists(anything, min_size=1, max_size=4), st.lists(anything, min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_iou_and_giou_are_the_plain_loop(a: list, b: list) -> None:
    for ours, theirs in ((pairwise_iou, plain.iou), (pairwise_giou, plain.giou)):
        expected = double([[theirs(x, y) for y in b] for x in a])
        torch.testing.assert_close(ours(double(a), double(b)), expected, rtol=1e-9, atol=1e-9)


@given(anything, anything)
@settings(max_examples=100, deadline=None)
def test_iou_is_symmetric_and_bounds_giou(a: tuple, b: tuple) -> None:
    overlap, generalized = iou(double(a), double(b)).item(), giou(double(a), double(b)).item()
    assert overlap == iou(double(b), double(a)).item()
    assert 0 <= overlap <= 1
    assert -1 <= generalized <= 1
    is_box = a[0] < a[2] and a[1] < a[3] and b[0] < b[2] and b[1] < b[3]
    assert generalized <= overlap + 1e-12 or not is_box


@given(anything)
@settings(max_examples=50, deadline=None)
def test_conversions_return_the_same_box(box: tuple) -> None:
    x1, y1, x2, y2 = box
    assert xywh_to_xyxy(xyxy_to_xywh(double(box))).tolist() == list(box)
    cxcywh = double([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])
    assert cxcywh_to_xyxy(cxcywh).tolist() == list(box)
    assert iou(double(box), double(box)).item() == (1.0 if x1 < x2 and y1 < y2 else 0.0)


def test_an_overlap_worked_by_hand() -> None:
    a, b = double([0, 0, 4, 4]), double([2, 2, 6, 6])  # 2 x 2 in common, 28 covered, in a hull of 6 x 6
    assert iou(a, b).item() == pytest.approx(4 / 28)
    assert giou(a, b).item() == pytest.approx(4 / 28 - 8 / 36)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("function", [iou, giou], ids=["iou", "giou"])
def test_odd_boxes_have_finite_overlaps_and_gradients(function: Callable, dtype: torch.dtype) -> None:
    for (name1, box1), (name2, box2) in itertools.product(ODD.items(), ODD.items()):
        a = torch.tensor(box1, dtype=dtype, requires_grad=True)
        b = torch.tensor(box2, dtype=dtype, requires_grad=True)
        overlap = function(a, b)
        overlap.backward()
        assert -1 <= overlap.item() <= 1, (name1, name2)
        assert a.grad is not None
        assert b.grad is not None
        assert a.grad.isfinite().all(), (name1, name2)
        assert b.grad.isfinite().all(), (name1, name2)


def test_overlaps_of_odd_boxes() -> None:
    def of(name1: str, name2: str) -> float:
        return iou(torch.tensor(ODD[name1]), torch.tensor(ODD[name2])).item()

    assert of("ordinary", "the same again") == 1
    assert of("zero area", "zero area again") == 0  # 0 / 0
    assert of("ordinary", "inverted") == 0
    assert of("huge", "infinite") == 1  # both are clamped to the largest coordinates
    assert of("NaN", "ordinary") == 0


def test_area_is_finite() -> None:
    areas = area(torch.tensor(list(ODD.values())))
    assert areas.isfinite().all()
    assert dict(zip(ODD, areas.tolist(), strict=True))["ordinary"] == 200
    assert dict(zip(ODD, areas.tolist(), strict=True))["inverted"] == 0


def test_half_precision_boxes_are_measured_in_single() -> None:
    box = torch.tensor([0.0, 0, 300, 300])
    for dtype in (torch.float16, torch.bfloat16):
        assert iou(box.to(dtype), box.to(dtype)).dtype == torch.float32
        assert area(box.to(dtype)).item() == 90_000  # more than fp16 holds


def test_deltas_worked_by_hand() -> None:
    box = double([10, 20, 30, 60])  # centre (20, 40), 20 x 40
    deltas = double([1.0, -0.5, math.log(2), math.log(0.5)])
    # centre + (1 / 2 * 20, -0.5 / 2 * 40) = (30, 30); size (20 * 2, 40 / 2) = (40, 20)
    torch.testing.assert_close(apply_deltas(deltas, box), double([10, 20, 50, 40]))
    assert MOVE_WEIGHT == 2.0


def test_deltas_of_zero_leave_the_box() -> None:
    box = double([-10.0, 20, 3000, 60])
    assert apply_deltas(double([0, 0, 0, 0]), box).tolist() == box.tolist()


def test_growth_is_clamped_above_only() -> None:
    box = double([0, 0, 1, 1])
    grown = xyxy_to_xywh(apply_deltas(double([0, 0, 100, MAX_LOG_SCALE + 1]), box))
    torch.testing.assert_close(grown[2:], double([6250, 6250]))  # 100,000 / 16
    shrunk = xyxy_to_xywh(apply_deltas(double([0, 0, -20, -1]), box))
    torch.testing.assert_close(shrunk[2:], double([math.exp(-20), math.exp(-1)]))


def test_half_precision_deltas_move_boxes_in_single() -> None:
    moved = apply_deltas(torch.zeros(4, dtype=torch.bfloat16), torch.tensor([1001.0, 0, 1003, 10]))
    assert moved.tolist() == [1001, 0, 1003, 10]  # bf16 would round to 1000


def test_clip_cuts_to_the_image() -> None:
    boxes = double([[-5, -5, 50, 50], [90, 90, 300, 300], [200, 200, 300, 300]])
    assert clip(boxes, height=100, width=120).tolist() == [[0, 0, 50, 50], [90, 90, 120, 100], [120, 100, 120, 100]]


def test_boxes_grow_with_their_image() -> None:
    # from 100 x 50 (height x width) to 300 x 100: three times as high, twice as wide
    assert rescale(double([[10, 20, 30, 40]]), (100, 50), (300, 100)).tolist() == [[20, 60, 60, 120]]


def test_boxes_flip_with_their_image() -> None:
    assert flip_horizontally(double([10, 20, 30, 40]), 100).tolist() == [70, 20, 90, 40]
