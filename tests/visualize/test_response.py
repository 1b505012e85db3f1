"""A heat map lies inside its box, cell by cell, and a scale gives the values of its colours."""

import numpy as np
import pytest

from tests.visualize.colours import gray, is_colour, rectangle_of
from uncrowd.visualize.attention import QUERY
from uncrowd.visualize.response import HEAT, OPACITY, draw_response

# The box is so large that its surroundings are the whole image.
IMAGE, BOX = gray(500, 600), np.array([100.0, 50, 500, 450])


def colour_of(value: float) -> np.ndarray:
    """Returns the colour of a value between 0 and 1 on the grey of the image."""
    return 255 * np.array(HEAT(float(value))[:3]) * OPACITY + 90 * (1 - OPACITY)


def heat(response: np.ndarray, box: np.ndarray = BOX, image: np.ndarray = IMAGE) -> np.ndarray:
    """Returns the drawing without the scale below it."""
    return draw_response(image, box, response)[:500]


def test_heat_stays_inside_of_the_box_and_the_line_around_it() -> None:
    drawn = heat(np.arange(49.0).reshape(7, 7))
    assert rectangle_of((drawn != IMAGE).any(axis=-1)) == (100, 50, 500, 450)
    assert rectangle_of(is_colour(drawn, QUERY)) == (100, 50, 500, 450)


def test_each_cell_lies_where_it_was_pooled() -> None:
    response = np.zeros((4, 4))
    response[1, 3] = 0.5  # the second row, the last column: x 400 to 500, y 150 to 250
    drawn = heat(response)
    np.testing.assert_allclose(drawn[200, 450], colour_of(1), atol=12)
    np.testing.assert_allclose(drawn[200, 250], colour_of(0), atol=12)
    np.testing.assert_allclose(drawn[400, 450], colour_of(0), atol=12)


def test_a_box_that_leaves_the_image_shows_only_the_cells_inside() -> None:
    response = np.zeros((4, 4))
    response[:, 3] = 1
    drawn = heat(response, box=np.array([-1500.0, 0, 500, 500]))  # its last column of cells covers x 0 to 500
    assert drawn.shape == IMAGE.shape
    np.testing.assert_allclose(drawn[250, 300], colour_of(1), atol=12)
    assert (drawn[:, 500:] == 90).all()


def test_only_the_surroundings_of_a_small_box_are_shown() -> None:
    image = gray(1000, 1000)
    image[:, 600:] = 200
    drawn = draw_response(image, np.array([500.0, 500, 520, 540]), np.eye(7))[:600]  # without the scale
    left, top, right, bottom = rectangle_of(is_colour(drawn, QUERY))
    assert (bottom - top) / drawn.shape[0] > 0.4
    assert right - left == pytest.approx((bottom - top) / 2, abs=2)
    assert not (drawn == 200).all(axis=-1).any()


@pytest.mark.parametrize("box", [[700.0, 10, 800, 90], [50, 50, 50, 50], [90, 90, 10, 10], [float("nan")] * 4])
def test_a_box_that_cannot_be_seen_is_not_drawn(box: list[float]) -> None:
    assert (heat(np.eye(7), box=np.array(box, np.float64)) == IMAGE).all()


@pytest.mark.parametrize("box", [[-1e9, -1e9, 1e9, 1e9], [10.2, 10.2, 10.4, 10.4], [599.9, 499.9, 700, 700]])
def test_huge_and_tiny_boxes_are_drawn(box: list[float]) -> None:
    assert draw_response(IMAGE, np.array(box), np.eye(7)).max() > 90


def test_a_flat_response_is_one_colour() -> None:
    drawn = heat(np.full((7, 7), 0.3))
    assert (abs(drawn[100:400, 150:450] - colour_of(0)) < 2).all()


def test_the_scale_runs_from_the_lowest_to_the_highest_colour() -> None:
    scale = draw_response(IMAGE, BOX, np.eye(7))[500:]
    middle = scale[len(scale) // 2].astype(int)
    coloured = np.ptp(middle, axis=-1).nonzero()[0]
    for end, value in ((coloured[0], 0.0), (coloured[-1], 1.0)):
        np.testing.assert_allclose(middle[end], 255 * np.array(HEAT(value)[:3]), atol=3)
    assert (scale[:, : coloured[0]] < 100).any()  # letters of the numbers at both ends
    assert (scale[:, coloured[-1] + 1 :] < 100).any()
