"""Boxes and captions are drawn in the right place and readable, whatever the boxes and the image."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.visualize.colours import gray, is_colour, rectangle_of
from uncrowd.visualize.draw import GREY, PALETTE, draw_detections, label_colour, side_by_side


def test_the_line_runs_along_the_inside_of_the_box() -> None:
    image = gray(500, 600)
    drawn = draw_detections(image, np.array([[100.0, 50, 300, 250]]), labels=np.array([1]))
    line = is_colour(drawn, label_colour(1))
    assert drawn.shape == image.shape  # large enough to be drawn as it is
    assert rectangle_of(line) == (100, 50, 300, 250)
    assert line[50, 100:300].all()
    assert line[249, 100:300].all()
    assert (drawn[60:240, 110:290] == 90).all()  # the object stays visible
    assert (drawn[:50] == 90).all()
    assert (image == 90).all()  # the caller's array is not drawn on


def test_a_small_image_is_enlarged_and_its_boxes_with_it() -> None:
    drawn = draw_detections(gray(120, 160), torch.tensor([[40.0, 30, 80, 60]]))
    assert drawn.shape == (480, 640, 3)
    assert rectangle_of(is_colour(drawn, label_colour(0))) == (160, 120, 320, 240)


def test_lines_scale_with_the_image_and_are_thin_on_small_boxes() -> None:
    def line_width(height: int, side: float) -> int:
        drawn = draw_detections(gray(height, height), np.array([[100.0, 100, 100 + side, 100 + side]]))
        return int(is_colour(drawn, label_colour(0))[:, int(100 + side / 2)].sum()) // 2

    assert line_width(480, 200) == 2
    assert line_width(2160, 1000) == 9
    assert line_width(2160, 20) == 1


def test_the_best_box_lies_on_top() -> None:
    boxes = np.array([[100.0, 100, 200, 200], [100.0, 100, 200, 200]])
    drawn = draw_detections(gray(500, 500), boxes, labels=np.array([3, 4]))
    assert is_colour(drawn, label_colour(3)).any()
    assert not is_colour(drawn, label_colour(4)).any()


def test_a_caption_stands_above_its_box_on_its_colour() -> None:
    drawn = draw_detections(gray(500, 500), np.array([[100.0, 100, 300, 300]]), captions=["person 0.97"])
    left, top, right, bottom = rectangle_of(is_colour(drawn, label_colour(0))[:100])
    assert (left, bottom) == (100, 100)
    assert 12 < bottom - top < 30
    assert 40 < right - left < 150
    assert (drawn[top:bottom, left:right].max(axis=-1) < 60).sum() > 50  # dark letters


def test_a_caption_at_the_top_edge_moves_inside() -> None:
    drawn = draw_detections(gray(500, 500), np.array([[100.0, 0, 300, 200]]), captions=["person"])
    assert is_colour(drawn, label_colour(0))[4:15, 105:130].mean() > 0.5


def test_captions_of_a_crowd_do_not_cover_it() -> None:
    # Only some of the 200 boxes of 20 pixels have room for such a long caption, so most pixels are unchanged.
    corner = np.stack(np.meshgrid(np.arange(10, 500, 25.0), np.arange(10, 250, 25.0)), axis=-1).reshape(-1, 2)
    boxes = np.concatenate([corner, corner + 20], axis=1)
    drawn = draw_detections(gray(500, 520), boxes, captions=["a long caption"] * len(boxes))
    insides = drawn[13:28, 13:28], drawn[88:103, 263:278]
    assert all((inside == 90).mean() > 0.7 for inside in insides)


def test_every_label_has_its_own_colour_also_beyond_the_palette() -> None:
    colours = [label_colour(label) for label in range(90)]
    assert len(PALETTE) < 90
    assert len(set(colours)) == 90
    assert all(0 <= channel <= 255 for colour in colours for channel in colour)
    assert label_colour(57) == colours[57]


@pytest.mark.parametrize(
    "box", [[700, 10, 800, 90], [-90, -90, -1, -1], [300, 300, 200, 200], [10, 10, float("nan"), 90]]
)
def test_a_box_that_cannot_be_seen_is_not_drawn(box: list[float]) -> None:
    image = gray(500, 600)
    assert (draw_detections(image, np.array([box], np.float64), captions=["x"]) == image).all()


def test_a_box_that_leaves_the_image_is_open_at_its_edge() -> None:
    drawn = draw_detections(gray(500, 600), np.array([[-50.0, 100, 1e9, 200]]))
    line = is_colour(drawn, label_colour(0))
    assert line[100].all()
    assert not line[110:190].any()


def test_without_boxes_the_image_is_unchanged() -> None:
    image = gray(500, 600)
    assert (draw_detections(image, np.zeros((0, 4)), labels=np.zeros(0, np.int64), captions=[]) == image).all()


def test_an_empty_caption_is_not_drawn() -> None:
    boxes = np.array([[100.0, 100, 300, 300]])
    assert (draw_detections(gray(500, 600), boxes, captions=[""]) == draw_detections(gray(500, 600), boxes)).all()


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(1, 1), (1, 700), (700, 1), (30, 40)]),
    boxes=arrays(np.float32, st.tuples(st.integers(0, 4), st.just(4)), elements=st.floats(width=32)),
)
def test_any_box_can_be_drawn_on_any_image(shape: tuple[int, int], boxes: np.ndarray) -> None:
    drawn = draw_detections(gray(*shape), boxes, captions=["name 0.5"] * len(boxes))
    assert drawn.dtype == np.uint8
    assert drawn.shape[0] >= shape[0]
    assert drawn.shape[1] >= shape[1]
    assert max(drawn.shape) <= 1920


def test_panels_stand_side_by_side_below_their_titles() -> None:
    left, right = np.full((200, 100, 3), 10, np.uint8), np.full((100, 100, 3), 20, np.uint8)
    sheet = side_by_side([("found", left), ("ground truth", right)])
    assert rectangle_of(is_colour(sheet, (10, 10, 10)))[2] == 100
    bar = sheet.shape[0] - 200
    # The smaller image is enlarged to the height of the other.
    assert rectangle_of(is_colour(sheet[bar:], (20, 20, 20))) == (104, 0, 304, 200)
    assert sheet.shape[1] == 304
    assert (sheet[:bar, :100] < 100).any()  # letters of the first title, then of the second
    assert (sheet[:bar, 104:] < 100).any()
    assert (sheet[bar:, 101:103] == 255).all()


def test_a_long_title_does_not_run_into_its_neighbour() -> None:
    dark = np.full((300, 300, 3), 10, np.uint8)
    sheet = side_by_side([("a title that is longer than its image is wide", dark), ("", dark)])
    assert (sheet[: sheet.shape[0] - 300, 301:] == 255).all()


def test_ignored_boxes_are_grey_and_dashed_below_the_others_and_without_caption() -> None:
    boxes = np.array([[100.0, 100, 300, 300], [100.0, 200, 300, 400]])
    drawn = draw_detections(gray(500, 500), boxes, captions=["", "crowd"], ignored=np.array([False, True]))
    dashes = is_colour(drawn, GREY)
    assert rectangle_of(dashes) == (100, 200, 300, 400)
    for side in (dashes[399, 100:300], dashes[310:400, 100], dashes[310:400, 299]):
        assert 0.3 < side.mean() < 0.7
        assert abs(np.diff(side.astype(int))).sum() > 5
    assert rectangle_of(is_colour(drawn, label_colour(0))) == (100, 100, 300, 300)
    assert is_colour(drawn, label_colour(0))[100:300, 100].all()


def test_dashes_of_an_ignored_box_stay_inside_of_it() -> None:
    for box in ([100.0, 100, 103, 103], [100.0, 100, 104, 300], [100.0, 100, 300, 103], [-50.0, -50, 600, 600]):
        drawn = draw_detections(gray(500, 500), np.array([box]), ignored=np.array([True]))
        left, top, right, bottom = np.clip(box, 0, 500).astype(int)
        changed = (drawn != 90).any(axis=-1)
        assert changed.sum() == changed[top:bottom, left:right].sum()
