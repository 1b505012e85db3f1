"""Stores detections as columns while a file is parsed, because millions of dictionaries would not fit in memory."""

from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from reprlib import repr as short
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from uncrowd.boxes import xywh_to_xyxy
from uncrowd.data.formats.values import is_number
from uncrowd.errors import InputError
from uncrowd.structures import Categories, Detections, ImageId


@dataclass(frozen=True, kw_only=True)
class DetectionColumns:
    """The boxes and scores of a file's detections, in the order of the file."""

    boxes_xywh: array = field(default_factory=lambda: array("d"))
    scores: array = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.scores)

    def add(self, box: Any, score: Any) -> str | None:
        """Adds a detection as parsed; if it is not four numbers and a score, returns what it has instead."""
        if not isinstance(box, list) or len(box) != 4:
            return f"the bbox {short(box)} instead of four numbers [x, y, width, height]"
        if all(map(is_number, (*box, score))):
            with suppress(OverflowError):
                self.boxes_xywh.extend(box)
                self.scores.append(score)
                return None
        return f"a bbox or score that is not a number: {short(box)}, {short(score)}"

    def refuse_nonsense(self, where: Callable[[int], str]) -> None:
        """Raises InputError for numbers that are not finite and for negative sides; `where` names detection n."""
        boxes_xywh, scores = self._arrays()
        with np.errstate(over="ignore", invalid="ignore"):
            far_corners = boxes_xywh[:, :2] + boxes_xywh[:, 2:]
        finite = np.isfinite(boxes_xywh).all(axis=1) & np.isfinite(far_corners).all(axis=1)
        for bad, complaint in (
            (~np.isfinite(scores), "a score that is not finite"),
            (~finite, "a bbox that is not finite"),
            ((boxes_xywh[:, 2:] < 0).any(axis=1), "a bbox [x, y, width, height] with a negative width or height"),
        ):
            if bad.any():
                raise InputError(
                    f"{where(int(bad.argmax()))} has {complaint} ({bad.sum()} in all); correct or remove it."
                )

    def by_image(
        self,
        ids: Sequence[ImageId],
        images: Int64[np.ndarray, " n"],
        labels: Int64[np.ndarray, " n"],
        categories: Categories,
    ) -> dict[ImageId, Detections]:
        """Returns the detections of each image in `ids`, best first; equal scores keep the order of the file.

        images: the index in `ids` of each detection's image. An image may have no detections.
        """
        boxes_xywh, scores = self._arrays()
        order = np.lexsort((-scores, images))  # stable
        ends = np.cumsum(np.bincount(images, minlength=len(ids)))[:-1]
        return {
            id: Detections(
                boxes=xywh_to_xyxy(torch.from_numpy(boxes_xywh[rows])),
                scores=torch.from_numpy(scores[rows]),
                labels=torch.from_numpy(labels[rows]),
                categories=categories,
            )
            for id, rows in zip(ids, np.split(order, ends), strict=False)  # without ids there is one empty part
        }

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        boxes_xywh = np.frombuffer(self.boxes_xywh, dtype=np.float64).reshape(-1, 4)
        return boxes_xywh, np.frombuffer(self.scores, dtype=np.float64)
