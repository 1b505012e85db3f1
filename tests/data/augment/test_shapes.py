"""Silhouettes cover the pixels that their outlines do, whichever form they have."""

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as pycocotools

from uncrowd.data.augment.shapes import bounds, cover, ellipse, moved, shape_of

SIZE = (40, 60)


def encoded(mask: np.ndarray) -> str:
    text: Any = pycocotools.encode(np.asfortranarray(mask.astype(np.uint8)))
    return text["counts"].decode()


def masks() -> dict[str, np.ndarray]:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    disc = (rows - 18) ** 2 + (columns - 30) ** 2 < 150
    rng = np.random.default_rng(0)
    return {
        "disc": disc,
        "ring": disc & ((rows - 18) ** 2 + (columns - 30) ** 2 > 40),
        "two parts": (columns < 5) | (columns > 50),
        "everything": np.ones(SIZE, dtype=bool),
        "one pixel": (rows == 39) & (columns == 59),
        "noise": rng.random(SIZE) < 0.3,
    }


@pytest.mark.parametrize("kind", masks())
def test_a_mask_covers_its_own_pixels(kind: str) -> None:
    mask = masks()[kind]
    shape = shape_of(encoded(mask), SIZE)
    assert shape is not None
    assert np.array_equal(cover(shape, 0, 0, SIZE[1], SIZE[0]) >= 0.5, mask)
    rows, columns = np.nonzero(mask)
    assert bounds(shape) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_a_disc_is_one_polygon_and_a_ring_is_many() -> None:
    """What each column has in one piece is quicker to fill as a whole."""
    disc, ring = (shape_of(encoded(masks()[kind]), SIZE) for kind in ("disc", "ring"))
    assert disc is not None
    assert ring is not None
    assert (len(disc), len(ring) > 20) == (1, True)


@pytest.mark.parametrize("outline", [None, "", "no text of a mask", encoded(np.zeros(SIZE))])
def test_what_holds_no_mask_has_no_shape(outline: str | None) -> None:
    assert shape_of(outline, SIZE) is None


def test_a_polygon_covers_half_of_the_pixels_on_its_diagonal() -> None:
    triangle = (np.array([[2.0, 2], [10, 10], [2, 10]]),)
    covered = cover(triangle, 2, 2, 8, 8)
    assert covered.sum() == pytest.approx(32, abs=4)
    assert covered[7, 0] == 1
    assert covered[0, 7] == 0
    assert covered.diagonal() == pytest.approx(0.6, abs=0.25)


def test_a_window_shows_its_part_of_a_moved_shape() -> None:
    square = (np.array([[0.0, 0], [4, 0], [4, 4], [0, 4]]),)
    covered = cover(moved(square, (2.0, 1.0), (3, 5)), 5, 6, 10, 4)
    expected = np.zeros((4, 10))
    expected[:3, :6] = 1
    assert np.abs(covered - expected).max() <= 0.25, "it goes from (3, 5) to (11, 9)"


def test_an_ellipse_touches_the_sides_of_its_box_and_fades_inward() -> None:
    sharp, soft = (ellipse((2.0, 1.0, 22.0, 11.0), 0, 0, 24, 12, feather) for feather in (0.0, 0.25))
    rows, columns = np.nonzero(sharp)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (2, 1, 21, 10)
    assert sharp.sum() == pytest.approx(np.pi * 50, rel=0.03)
    assert soft[6, 12] == 1
    assert 0 < soft[6, 3] < 0.7
    assert (soft[sharp == 0] == 0).all()
