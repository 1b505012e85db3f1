"""Detects in the frames of a video and follows the objects from frame to frame."""

import warnings
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8

from uncrowd.argument_types import checked_types
from uncrowd.data.video.read import DEFAULT_RATE, Frame, Video, as_video, open_video
from uncrowd.errors import require_whole
from uncrowd.inference.predictor import Predictor
from uncrowd.structures import Detections
from uncrowd.thresholds import DEFAULT_THRESHOLD, Threshold, of_each_class, require_known
from uncrowd.tracking.tracker import Tracker


class TrackedFrame(NamedTuple):
    """A frame of a video, and the detections in it that belong to a track, with `track_ids`."""

    frame: Frame
    detections: Detections


@checked_types(
    predictor="a predictor, such as load(path)", video="a file, the index of a camera, or frames as uint8 RGB arrays"
)
def track(
    predictor: Predictor,
    video: str | Path | int | Video | Iterable[UInt8[np.ndarray, "h w 3"]],
    threshold: Threshold | None = None,
    batch_size: int = 4,
    *,
    only: Collection[str] | None = None,
    rate: float = float(DEFAULT_RATE),
) -> Iterator[TrackedFrame]:
    """Yields the frames of a video one after the other, with the tracked objects in each.

    video: a file, the index of a camera, or RGB frames (h, w, 3) of type uint8 from anywhere. It is read as it is
    needed: no more than `batch_size` frames are held.
    threshold: the least score with which a detection begins a track; a number, or a number for each class name. By
    default that of the best F1 on validation data, or 0.3 where the weights have none. Detections of at least three
    quarters of that score continue a track.
    batch_size: the number of frames that are detected in together, and by which the results of a camera are late.
    only: the names of the classes to follow, by default all.
    rate: frames a second, where `video` is frames.

    Warns of what could not be decoded and was left out. Raises InputError for a video that cannot be read, as
    `Predictor.predict` does, for an unknown class, and where `uncrowd[video]` is not installed.
    """
    names = predictor.categories.names
    require_whole(1, batch_size=batch_size)
    require_known(names if only is None else only, names)
    if threshold is None:
        threshold = DEFAULT_THRESHOLD if predictor.thresholds is None else predictor.thresholds.f1
    least = of_each_class(threshold, names)
    wanted = torch.tensor([only is None or name in only for name in names])
    if isinstance(video, str | Path | int):
        return _track_file(predictor, video, least, batch_size, wanted)
    return _track(predictor, video if isinstance(video, Video) else as_video(video, rate), least, batch_size, wanted)


def _track_file(
    predictor: Predictor, source: str | Path | int, least: list[float], batch_size: int, wanted: torch.Tensor
) -> Iterator[TrackedFrame]:
    with open_video(source, max_pixels=predictor.max_pixels) as video:
        yield from _track(predictor, video, least, batch_size, wanted)
        for note in video.notes():
            warnings.warn(note, stacklevel=2)


def _track(
    predictor: Predictor, video: Video, least: list[float], batch_size: int, wanted: torch.Tensor
) -> Iterator[TrackedFrame]:
    tracker = Tracker(least, float(video.rate))
    frames = iter(video.frames)
    while batch := list(islice(frames, batch_size)):
        for frame, found in zip(batch, predictor.predict([f.pixels for f in batch], 0.0, batch_size), strict=True):
            yield TrackedFrame(frame, tracker.update(found[wanted[found.labels]], float(frame.time)))
