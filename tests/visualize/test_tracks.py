"""The line and the zone of a video are drawn so that they can be read."""

import numpy as np
import pytest
import torch

from uncrowd.structures import Categories, Detections
from uncrowd.visualize.tracks import Point, draw_tracks

NOTHING = Detections(
    boxes=torch.zeros(0, 4),
    scores=torch.zeros(0),
    labels=torch.zeros(0, dtype=torch.int64),
    categories=Categories(ids=(1,), names=("person",)),
    track_ids=torch.zeros(0, dtype=torch.int64),
)
HEIGHT, WIDTH = 120, 160


def marked(points: list[Point], words: str) -> np.ndarray:
    """The pixels that are nearly as white as marks, (h, w)."""
    drawn = draw_tracks(np.full((HEIGHT, WIDTH, 3), 90, np.uint8), NOTHING, [(points, words)])
    return drawn.min(axis=2) > 180


@pytest.mark.parametrize(
    ("points", "inwards"),
    [
        ([(0, 60), (160, 60)], (0, -1)),  # facing right: the left is up
        ([(160, 60), (0, 60)], (0, 1)),
        ([(80, 120), (80, 0)], (-1, 0)),  # facing up: the left is left
        ([(80, 0), (80, 120)], (1, 0)),
    ],
)
def test_an_arrow_shows_the_inner_side(points: list[Point], inwards: tuple[int, int]) -> None:
    y, x = np.nonzero(marked(points, ""))
    beside = (x - 80) * inwards[0] + (y - 60) * inwards[1]
    assert beside.max() == pytest.approx(HEIGHT / 15, abs=1.5), "the tip of the arrow"
    assert beside.min() >= -2


@pytest.mark.parametrize("points", [[(0, 60), (160, 60)], [(2, 0), (2, 120)], [(0, 0), (8, 0), (8, 8)]])
def test_words_are_whole_and_inside(points: list[Point]) -> None:
    def letters(points: list[Point]) -> int:
        return int((marked(points, "in 3, out 2") & ~marked(points, "")).sum())

    whole = letters([(10, 10), (150, 10), (150, 110), (10, 110)])
    assert whole > 50
    assert letters(points) > 0.75 * whole
