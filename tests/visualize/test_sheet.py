"""A grid of images: each is complete, in its place and as wide as its column."""

import numpy as np

from tests.visualize.colours import is_colour, rectangle_of
from uncrowd.visualize.sheet import COLUMN_WIDTH, grid, in_column


def plain(height: int, width: int, shade: int) -> np.ndarray:
    return np.full((height, width, 3), shade, np.uint8)


def largest(sheet: np.ndarray, shade: int) -> tuple[int, int, int, int]:
    """Returns the box of the image of that shade, without the few pixels of letters that have the same shade."""
    mask = is_colour(sheet, (shade, shade, shade))
    return rectangle_of(mask & (mask.sum(axis=1) > 100)[:, None] & (mask.sum(axis=0) > 100)[None])


def test_images_stand_in_rows_and_columns() -> None:
    rows = [[plain(100, 200, 210), plain(100, 200, 220)], [plain(300, 200, 230), plain(600, 400, 240)]]
    sheet = grid(["one", "two"], rows)
    places = [largest(sheet, shade) for shade in (230, 240)]
    assert [right - left for left, _, right, _ in places] == [COLUMN_WIDTH] * 2
    assert [bottom - top for _, top, _, bottom in places] == [3 * COLUMN_WIDTH // 2] * 2
    upper, lower = largest(sheet, 220), places[1]
    assert upper[0] == lower[0] > COLUMN_WIDTH  # one column, beside the first
    assert upper[3] < lower[1]
    assert sheet.shape[:2] == (lower[3], lower[2])


def test_titles_stand_above_the_middle_of_their_columns() -> None:
    long = "a title so long that no column could hold it, were it not written smaller than the others"
    sheet = grid(["a", long], [[plain(9, 9, 99)] * 2])
    top = rectangle_of(is_colour(sheet, (99, 99, 99)))[1]
    written = np.flatnonzero(sheet[:top].min(axis=(0, 2)) < 128)
    first, second = written[written < COLUMN_WIDTH], written[written >= COLUMN_WIDTH]
    assert abs(first.mean() - COLUMN_WIDTH / 2) < 3
    assert len(first) < 30
    assert 0.9 * COLUMN_WIDTH < second.max() - second.min() < COLUMN_WIDTH


def test_an_image_is_resized_to_its_column_and_its_boxes_with_it() -> None:
    image, scale = in_column(plain(100, 200, 5))
    assert image.shape == (COLUMN_WIDTH // 2, COLUMN_WIDTH, 3)
    assert scale.tolist() == [COLUMN_WIDTH / 200, COLUMN_WIDTH / 200] * 2
