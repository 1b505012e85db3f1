"""Gives the detections of successive frames the ids of their tracks, with ByteTrack of the package trackers."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import torch
from supervision import Detections as SupervisionDetections
from trackers import ByteTrackTracker

from uncrowd.structures import Detections

# A detection continues a track if its score is at least this share of the threshold from which one begins a track.
CONTINUES = 0.75
# The least IoU of a detection with the box that its track predicts. docs/video.md says how it was measured.
LEAST_IOU = 0.4


class Tracker:
    """ByteTrack (Zhang et al., ECCV 2022): matches detections with the boxes that Kalman filters predict, by IoU.

    Detections at or above the threshold are matched first; those below it continue the tracks that are left, because
    an object that others hide has a low score. Each class has its own tracks. A track is reported from its second frame
    on, and is kept for a second without a detection.

    thresholds: the least score with which a detection begins a track, for each class. rate: frames a second.
    """

    def __init__(self, thresholds: Sequence[float], rate: float) -> None:
        self._least = torch.tensor(thresholds) * CONTINUES
        self._trackers = [
            ByteTrackTracker(
                frame_rate=rate,
                track_activation_threshold=least,
                high_conf_det_threshold=least,
                minimum_iou_threshold=LEAST_IOU,
            )
            for least in thresholds
        ]
        self._numbers = count(1)
        self._ids: list[dict[int, int]] = [{} for _ in thresholds]

    def update(self, found: Detections, time: float) -> Detections:
        """Returns the detections of the next frame that belong to a track, with `track_ids`: whole numbers from 1.

        time: seconds since the first frame, later than that of the frame before.
        """
        found = found[found.scores >= self._least[found.labels]]
        rows: list[int] = []
        track_ids: list[int] = []
        for label, tracker in enumerate(self._trackers):
            own = found.labels.numpy() == label
            boxes, scores, indices = found.boxes.numpy()[own], found.scores.numpy()[own], own.nonzero()[0]
            given = SupervisionDetections(xyxy=boxes, confidence=scores, class_id=indices)  # it says whose id is whose
            matched = tracker.update(given, timestamp=time)
            ids = self._ids[label]
            assert matched.class_id is not None
            assert matched.tracker_id is not None
            for row, id in zip(matched.class_id.tolist(), matched.tracker_id.tolist(), strict=True):
                if id >= 0:
                    if id not in ids:
                        ids[id] = next(self._numbers)
                    rows.append(row)
                    track_ids.append(ids[id])
            alive = {track.tracker_id for track in tracker.tracks}
            self._ids[label] = {id: number for id, number in ids.items() if id in alive}
        order = sorted(range(len(rows)), key=lambda index: rows[index])
        ids_in_order = torch.tensor([track_ids[index] for index in order], dtype=torch.int64)
        return replace(found[[rows[index] for index in order]], track_ids=ids_in_order)
