"""Writes the tracks of a video: as MOTChallenge's text, which tracking tools read, and as a line of JSON a frame."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from uncrowd.boxes import xyxy_to_xywh
from uncrowd.data.results.appended import appended
from uncrowd.data.results.predictions import records_of
from uncrowd.data.video.read import Frame
from uncrowd.structures import Detections


class FoundFrame(NamedTuple):
    """A frame and its tracks. in_zone: the ids of those in the zone, None without one.

    crossed: for each class the tracks that have crossed the line so far, in and out; None without a line.
    """

    frame: Frame
    tracks: Detections
    in_zone: list[int] | None
    crossed: dict[str, tuple[int, int]] | None


@contextmanager
def writing_motchallenge(path: Path) -> Iterator[Callable[[FoundFrame], None]]:
    """Yields a function that appends a line for each track of a frame.

    A line is frame, id, left, top, width, height, score, -1, -1, -1; frames and ids are counted from 1, and boxes are
    in pixels of the frame, whose upper left corner is (0, 0). It does not hold the class.
    """
    with appended(path, "", "", lambda some: "") as write:
        yield lambda found: write("".join(_lines(found)))


@contextmanager
def writing_frames(path: Path) -> Iterator[Callable[[FoundFrame], None]]:
    """Yields a function that appends a line of JSON with a frame and its tracks. An interrupted file is valid."""
    with appended(path, "", "", lambda some: "") as write:
        yield lambda found: write(json.dumps(_record(found)) + "\n")


def _lines(found: FoundFrame) -> Iterator[str]:
    tracks = found.tracks
    assert tracks.track_ids is not None
    boxes = xyxy_to_xywh(tracks.boxes).tolist()
    for id, box, score in zip(tracks.track_ids.tolist(), boxes, tracks.scores.tolist(), strict=True):
        sides = ",".join(f"{value:.2f}" for value in box)
        yield f"{found.frame.number},{id},{sides},{score:.4f},-1,-1,-1\n"


def _record(found: FoundFrame) -> dict[str, Any]:
    record: dict[str, Any] = {"frame": found.frame.number, "time": round(float(found.frame.time), 4)}
    if found.crossed is not None:
        record["crossed"] = {name: {"in": into, "out": out} for name, (into, out) in found.crossed.items()}
    if found.in_zone is not None:
        record["in_zone"] = found.in_zone
    return record | {"tracks": records_of(found.tracks)}
