"""Frames come back with their tracks, one batch at a time."""

from pathlib import Path

import pytest

import uncrowd
from tests.clips import square, without_end, write_clip
from tests.tracking.squares import FindsSquares, ids
from uncrowd.errors import InputError
from uncrowd.tracking.track import track


def test_a_clip_is_followed(tmp_path: Path) -> None:
    predictor = FindsSquares()
    frames = list(track(predictor, write_clip(tmp_path / "a.mp4"), batch_size=5))
    assert [frame.number for frame, _ in frames] == list(range(1, 13))
    assert predictor.batches == [5, 5, 2]
    assert [ids(found) for _, found in frames] == [[]] + 11 * [[1]]
    for frame, found in frames[1:]:
        assert found.names == ["bright"]
        assert found.boxes[0].tolist() == pytest.approx([2 * frame.number, 20, 2 * frame.number + 12, 32], abs=1.1)


def test_no_more_than_a_batch_is_read_ahead() -> None:
    given = []
    frames = (given.append(number) or square(number) for number in range(1, 13))
    tracked = track(FindsSquares(), frames, batch_size=3, rate=10.0)
    assert given == []
    for number in range(1, 7):
        assert next(tracked).frame.number == number
        assert len(given) == -(-number // 3) * 3


def test_thresholds_and_classes_are_those_of_the_detector() -> None:
    frames = [square(number) for number in range(1, 4)]
    assert [len(found) for _, found in track(FindsSquares(), frames)] == [0, 1, 1]
    assert [len(found) for _, found in track(FindsSquares(), frames, 0.95)] == [0, 0, 0]
    assert [len(found) for _, found in track(FindsSquares(), frames, {"dark": 0.1, "bright": 0.95})] == [0, 0, 0]
    assert [len(found) for _, found in track(FindsSquares(), frames, only=["dark"])] == [0, 0, 0]
    with pytest.raises(InputError, match="'cat' is no class of this detector"):
        track(FindsSquares(), frames, only=["cat"])
    with pytest.raises(InputError, match="batch_size is 0"):
        track(FindsSquares(), frames, batch_size=0)


def test_what_is_missing_from_a_file_is_warned_of(tmp_path: Path) -> None:
    cut = without_end(tmp_path / "b.mp4", write_clip(tmp_path / "a.mp4", frames=80, size=(48, 192)), 0.85)
    with pytest.warns(UserWarning, match=r"b.mp4 was cut off; it ends after"):
        assert len(list(track(FindsSquares(), cut))) > 5


def test_it_is_public() -> None:
    assert uncrowd.track is track
