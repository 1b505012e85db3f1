"""Analyses the errors of a detector: which there are, what they cost, and where they occur."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from uncrowd.evaluation.analysis.calibration import Calibration, calibration
from uncrowd.evaluation.analysis.confusion import Confusion, confusion
from uncrowd.evaluation.analysis.kinds import ErrorKind, error_kinds
from uncrowd.evaluation.analysis.precision_recall import IOUS, PrecisionRecall, precision_recall
from uncrowd.evaluation.analysis.slices import Slices, recall_by_slice
from uncrowd.evaluation.as_hotcoco import in_pycocotools_order, match_all, most_in_an_image
from uncrowd.evaluation.matching import match_image
from uncrowd.evaluation.operating_points import operating_curve
from uncrowd.evaluation.protocol import check_same_dataset
from uncrowd.structures import Categories, Detections, ImageId, Sample

# The score threshold if none can be suggested.
FALLBACK_THRESHOLD = 0.5


@dataclass(frozen=True, kw_only=True)
class ErrorAnalysis:
    """What goes wrong at IoU 0.5, by COCO's matching; only the slices have a stricter one (see `recall_by_slice`).

    Numbers, the confusion, the slices and the calibration error are those of the detections with a score of at least
    `threshold`. ap: AP at IoU 0.5 over all detections, however many an image has; None without objects.
    """

    threshold: float
    ap: float | None
    kinds: tuple[ErrorKind, ...]
    slices: Slices
    confusion: Confusion
    calibration: Calibration | None
    curves: tuple[PrecisionRecall, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as numbers, texts, lists and dictionaries, for JSON."""
        return {
            "threshold": self.threshold,
            "AP50": self.ap,
            "kinds": {kind.name: {"number": kind.number, "AP50_cost": kind.ap_cost} for kind in self.kinds},
            **{
                axis: {s.name: {**_without_name(asdict(s)), "recall": s.recall} for s in slices}
                for axis, slices in (("crowding", self.slices.crowding), ("sizes", self.slices.sizes))
            },
            "confusion": {"names": [*self.confusion.names, "background"], "matrix": self.confusion.matrix.tolist()},
            "calibration": None
            if self.calibration is None
            else {
                "error": self.calibration.error,
                "excess": self.calibration.excess,
                "bins": [each._asdict() for each in self.calibration.bins],
            },
            "precision_by_recall": {str(curve.iou): curve.precision.tolist() for curve in self.curves},
        }


def analyse_errors(
    samples: Iterable[Sample],
    detections: Mapping[ImageId, Detections],
    categories: Categories,
    *,
    threshold: float | None = None,
) -> ErrorAnalysis:
    """Returns what goes wrong. Raises InputError for images or classes that the dataset does not have.

    Detections on ignored ground truth are neither right nor wrong, and ignored ground truth is no object. threshold:
    by default the one with the best F1 on these images, or 0.5 where no detection is right.
    """
    samples = in_pycocotools_order(samples)
    check_same_dataset(samples, detections, categories)
    if threshold is None:
        best = operating_curve(samples, detections, categories).best
        threshold = best.threshold if best is not None else FALLBACK_THRESHOLD
    kept: dict[ImageId, Detections] = {}
    scores, right = [np.zeros(0)], [np.zeros(0, dtype=bool)]
    for sample in samples:
        if sample.id in detections:
            found = detections[sample.id]
            match = match_image(sample, found)
            counted = ~match.ignored
            scores.append(found.scores.numpy()[counted])
            right.append(match.right[counted])
            kept[sample.id] = _rows(found, counted).above(threshold)
    most = most_in_an_image(detections)
    everything = match_all(samples, detections, categories, ious=IOUS, max_dets=most)
    above_threshold = match_all(samples, kept, categories, ious=(0.5,), max_dets=most)
    objects = sum(int((~sample.ignore).sum()) for sample in samples)
    curves = precision_recall(everything)
    return ErrorAnalysis(
        threshold=threshold,
        ap=curves[0].ap if curves else None,
        kinds=error_kinds(everything, above_threshold, classes=len(categories), objects=objects),
        slices=recall_by_slice(samples, kept),
        confusion=confusion(above_threshold, categories.unique_names, max_dets=most),
        calibration=calibration(np.concatenate(scores[1:] or scores), np.concatenate(right), threshold),
        curves=curves,
    )


def _rows(found: Detections, mask: Bool[np.ndarray, " k"]) -> Detections:
    rows = torch.from_numpy(mask)
    return Detections(
        boxes=found.boxes[rows], scores=found.scores[rows], labels=found.labels[rows], categories=found.categories
    )


def _without_name(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "name"}
