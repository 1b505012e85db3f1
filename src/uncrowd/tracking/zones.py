"""Counts the tracks that cross a line, and finds those in a zone.

An object stands where the middle of its box's lower edge is: that point crosses a line or is in a zone.
"""

from collections.abc import Sequence

import numpy as np
import torch
from supervision import LineZone, PolygonZone, Position
from supervision import Point as SupervisionPoint

from uncrowd.errors import InputError
from uncrowd.structures import Detections
from uncrowd.visualize.tracks import Point

# Frames that a track has to be on the other side of a line: a box that trembles on it is not counted again and again.
SETTLED = 2

Points = Sequence[Point]


class Line:
    """Counts, for each class, the tracks that cross a line from its first point to its second.

    in: from the right to the left of who stands at the first point and faces the second. out: the other way.
    """

    def __init__(self, points: Points, classes: Sequence[str]) -> None:
        """Raises InputError for other than two different points."""
        if len(points) != 2 or points[0] == points[1]:
            raise InputError(f"a line has two different points, X1,Y1,X2,Y2, not {_in_words(points)}.")
        self.points = points
        self._classes = classes
        start, end = (SupervisionPoint(*point) for point in points)
        self._line = LineZone(start, end, [Position.BOTTOM_CENTER], SETTLED)

    def update(self, found: Detections) -> None:
        """Takes the tracks of the next frame."""
        self._line.trigger(found.to_supervision())

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """The number of tracks of each class that have crossed the line, in and out."""
        into, out = self._line.in_count_per_class, self._line.out_count_per_class
        return {name: (into.get(label, 0), out.get(label, 0)) for label, name in enumerate(self._classes)}


class Zone:
    """A polygon."""

    def __init__(self, points: Points) -> None:
        """Raises InputError for fewer than three points."""
        if len(points) < 3:
            raise InputError(f"a zone has three points or more, X,Y,X,Y,X,Y,..., not {_in_words(points)}.")
        self.points = points
        self._polygon = PolygonZone(np.array(points), [Position.BOTTOM_CENTER])

    def ids(self, found: Detections) -> list[int]:
        """Returns the ids of the tracks in the zone."""
        assert found.track_ids is not None
        return found.track_ids[torch.from_numpy(self._polygon.trigger(found.to_supervision()))].tolist()


def _in_words(points: Points) -> str:
    return ",".join(f"{x},{y}" for x, y in points) or "none"
