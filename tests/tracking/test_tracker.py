"""The detections of one object have one id, whatever happens to its score and to its neighbours."""

import pytest

from tests.tracking.squares import found, ids
from uncrowd.structures import Detections
from uncrowd.tracking.tracker import Tracker


@pytest.fixture
def tracker() -> Tracker:
    return Tracker([0.5, 0.5], rate=10.0)


def follow(tracker: Tracker, frames: list[Detections]) -> list[list[int]]:
    """The ids in each frame, in the order of the detections that have one."""
    return [ids(tracker.update(frame, number / 10)) for number, frame in enumerate(frames)]


def test_a_track_has_one_id_from_its_second_frame_on(tracker: Tracker) -> None:
    frames = [found((2.0 * n, 10, 0.9), (100 - 2.0 * n, 50, 0.8)) for n in range(8)]
    assert follow(tracker, frames) == [[]] + 7 * [[1, 2]]


def test_ids_belong_to_the_rows_that_are_returned(tracker: Tracker) -> None:
    tracker.update(found((0, 0, 0.9), (50, 0, 0.8)), 0.0)
    tracker.update(found((0, 0, 0.9), (50, 0, 0.8)), 0.1)
    swapped = tracker.update(found((50, 0, 0.9), (90, 90, 0.85), (0, 0, 0.8)), 0.2)
    assert (ids(swapped), swapped.boxes[:, 0].tolist()) == ([2, 1], [50, 0])


def test_a_low_score_continues_a_track_but_begins_none(tracker: Tracker) -> None:
    scores = [0.9, 0.9, 0.4, 0.4, 0.3, 0.4]
    frames = [found((10, 10, score), (100, 100, 0.45)) for score in scores]
    assert follow(tracker, frames) == [[], [1], [1], [1], [], [1]]


def test_a_track_outlives_a_gap_of_less_than_a_second(tracker: Tracker) -> None:
    there, gone = found((10, 10, 0.9)), found()
    assert follow(tracker, [there, there, *5 * [gone], there]) == [[], [1], *5 * [[]], [1]]
    assert ids(tracker.update(gone, 0.8)) == []
    late = [ids(tracker.update(there, time)) for time in (3.0, 3.1)]
    assert late == [[], [2]]  # an id is not given twice


def test_each_class_has_its_own_tracks(tracker: Tracker) -> None:
    frames = [found((10, 10, 0.9), (10, 10, 0.8), labels=labels) for labels in ([0, 1], [0, 1], [1, 0])]
    assert follow(tracker, frames) == [[], [1, 2], [2, 1]]
