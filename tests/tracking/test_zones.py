"""Tracks are counted where the middle of the lower edge of their box crosses a line or is in a polygon."""

from dataclasses import replace

import pytest
import torch

from tests.tracking.squares import CLASSES, found
from uncrowd.errors import InputError
from uncrowd.structures import Detections
from uncrowd.tracking.zones import Line, Zone

DOWN = [(50, 0), (50, 100)]  # who faces the second point from the first has smaller x on the right


def tracks(*objects: tuple[float, float], labels: list[int] | None = None) -> Detections:
    """Boxes of 20 x 20 pixels, given by the middle of their lower edge; their ids are 1, 2, ..."""
    detections = found(*((x - 10, y - 20, 0.9) for x, y in objects), labels=labels)
    return replace(detections, track_ids=torch.arange(1, len(objects) + 1))


def test_a_line_counts_each_class_in_both_directions() -> None:
    line = Line(DOWN, CLASSES.names)
    for step in range(0, 61, 10):
        line.update(tracks((80 - step, 40), (75 - step, 60), (20 + step, 80), (20, 50), labels=[0, 0, 1, 1]))
    assert line.counts == {"dark": (0, 2), "bright": (1, 0)}


def test_a_box_that_trembles_on_the_line_is_not_counted_again() -> None:
    line = Line(DOWN, CLASSES.names)
    for x in (80, 70, 45, 40, 52, 47, 53, 46, 40, 30):
        line.update(tracks((x, 40)))
    assert line.counts == {"dark": (0, 1), "bright": (0, 0)}


def test_beyond_its_ends_nobody_crosses_a_line() -> None:
    line = Line([(50, 0), (50, 30)], CLASSES.names)
    for x in (80, 60, 40, 20):
        line.update(tracks((x, 60)))
    assert line.counts == {"dark": (0, 0), "bright": (0, 0)}


def test_a_zone_has_who_stands_in_it() -> None:
    zone = Zone([(20, 20), (80, 20), (80, 80), (20, 80)])
    assert zone.ids(tracks((10, 50), (50, 50), (50, 90), (70, 30))) == [2, 4]
    assert zone.ids(tracks()) == []


def test_points_that_make_no_line_or_zone_are_refused() -> None:
    for points in ([(1, 1), (1, 1)], [(1, 1)], [(1, 1), (2, 2), (3, 3)]):
        with pytest.raises(InputError, match=r"a line has two different points, X1,Y1,X2,Y2, not 1,1"):
            Line(points, CLASSES.names)
    with pytest.raises(InputError, match=r"a zone has three points or more, .* not 1,1,2,2\."):
        Zone([(1, 1), (2, 2)])
