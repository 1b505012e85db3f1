"""The attention of a query: the larger a weight, the stronger its box and the higher its bar."""

import numpy as np

from tests.visualize.colours import gray, is_colour, rectangle_of
from uncrowd.visualize.attention import OTHERS, QUERY, draw_attention, draw_row

BOXES = np.array([[10.0, 10, 100, 90], [200, 10, 300, 90], [200, 200, 300, 290], [10, 200, 100, 290]])


def test_the_query_is_yellow_and_where_its_box_is() -> None:
    drawn = draw_attention(gray(500, 600), BOXES, np.array([0.25, 0.25, 0.25, 0.25]), 2)
    assert rectangle_of(is_colour(drawn, QUERY)) == (200, 200, 300, 290)


def test_the_other_boxes_are_as_strong_as_their_weights() -> None:
    image = gray(500, 600)
    drawn = draw_attention(image, BOXES, np.array([0.1, 0.6, 0.2, 0.1]), 1)
    change = abs(drawn.astype(int) - image).sum(axis=-1)
    strongest, half = change[200, 200:300], change[200, 10:100]
    assert is_colour(drawn[200:201, 200:300], OTHERS).all()  # however strong the query itself is
    assert (half > 0).all()
    assert (abs(half - strongest[0] / 2) < 6).all()
    assert (strongest > 0).sum() == 100
    assert change[210:280, 210:290].max() == 0  # no box is filled


def test_a_box_without_attention_is_invisible() -> None:
    image = gray(500, 600)
    drawn = draw_attention(image, BOXES, np.array([0.0, 0, 1, 0]), 2)
    assert (drawn[:200] == image[:200]).all()


def test_a_small_image_is_enlarged_and_the_boxes_with_it() -> None:
    drawn = draw_attention(gray(120, 160), np.array([[40.0, 30, 80, 60]]), np.array([1.0]), 0)
    assert rectangle_of(is_colour(drawn, QUERY)) == (160, 120, 320, 240)


def test_a_query_outside_of_the_image_hides_nothing() -> None:
    boxes = np.array([[-90.0, -90, -10, -10], [100, 100, 200, 200]])
    drawn = draw_attention(gray(500, 500), boxes, np.array([0.5, 0.5]), 0)
    assert not is_colour(drawn, QUERY).any()
    assert rectangle_of(is_colour(drawn, OTHERS)) == (100, 100, 200, 200)


def test_bars_are_as_high_as_their_weights() -> None:
    weights = np.array([0.1, 0.4, 0.2, 0.0, 0.3])
    row = draw_row(weights, 1, width=640, highest=0.4)
    assert row.shape[1] == 640
    columns = is_colour(row, OTHERS).sum(axis=0)
    inside = columns[columns > 0]
    heights = [int(h) for n, h in enumerate(inside) if n == 0 or h != inside[n - 1]]
    assert np.allclose(np.array(heights) / heights[-1], [1 / 3, 2 / 3, 1], atol=0.02)  # of queries 0, 2 and 4
    yellow = rectangle_of(is_colour(row, QUERY))
    assert yellow[3] - yellow[1] > 3.5 * heights[0]


def test_a_row_of_many_queries_has_a_bar_for_each() -> None:
    row = draw_row(np.full(500, 0.002), 7, width=600, highest=0.002)
    bars = is_colour(row, OTHERS) | is_colour(row, QUERY)
    assert bars.any(axis=0).sum() > 540  # side by side, without a gap
    assert is_colour(row, QUERY).any(axis=0).sum() in (1, 2)
