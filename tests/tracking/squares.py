"""Detections of made-up objects, and a predictor that finds the square of the tiny clips."""

from collections.abc import Sequence

import numpy as np
import torch

from uncrowd.inference.predictor import Predictor
from uncrowd.structures import Categories, Detections

CLASSES = Categories(ids=(3, 17), names=("dark", "bright"))


def found(*objects: tuple[float, float, float], labels: Sequence[int] | None = None) -> Detections:
    """Detections of 20 x 20 pixels, each given as left, top and score, best first."""
    corners = torch.tensor([[x, y, x + 20, y + 20] for x, y, _ in objects]).reshape(-1, 4)
    return Detections(
        boxes=corners.float(),
        scores=torch.tensor([score for *_, score in objects]),
        labels=torch.tensor([0] * len(objects) if labels is None else labels, dtype=torch.int64),
        categories=CLASSES,
    )


def ids(detections: Detections) -> list[int]:
    """The ids of the tracks."""
    assert detections.track_ids is not None
    return detections.track_ids.tolist()


class FindsSquares(Predictor):
    """Stands for a predictor: finds the red square of `tests.clips`, as bright, and notes the sizes of batches."""

    categories = CLASSES
    thresholds = None
    max_pixels = 10_000

    def __init__(self) -> None:
        self.batches: list[int] = []

    def predict(self, inputs, threshold=0.0, batch_size=8):  # pyright: ignore[reportIncompatibleMethodOverride]
        self.batches.append(len(inputs))
        return [self._find(image) for image in inputs]

    def _find(self, image: np.ndarray) -> Detections:
        rows, columns = np.nonzero(image[..., 0] > 130)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return Detections(
            boxes=torch.tensor([box]).float(),
            scores=torch.tensor([0.9]),
            labels=torch.tensor([1]),
            categories=CLASSES,
        )
