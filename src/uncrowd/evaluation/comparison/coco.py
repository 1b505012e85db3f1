"""COCO's AP and AP50 of any resample of the images, from one matching."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from hotcoco import metrics
from jaxtyping import Bool, Float64, Int64

from uncrowd.evaluation.as_hotcoco import in_pycocotools_order, match_all
from uncrowd.evaluation.coco import COCO_LIMIT
from uncrowd.structures import Categories, Detections, ImageId, Sample

IOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())
RECALLS = 101


@dataclass(frozen=True, kw_only=True)
class _Ranked:
    """The detections of one class that count at one IoU, best first.

    images: the index of the image of each. right: the positions of those that found an object.
    """

    images: Int64[np.ndarray, " k"]
    right: Int64[np.ndarray, " r"]

    def average_precision(self, drawn: Int64[np.ndarray, " images"], objects: int) -> float:
        """Returns AP where each detection occurs as often as its image is drawn.

        Precision is read only at right detections: its envelope has no corner anywhere else, and a detection that
        occurs several times raises precision up to its last copy.
        """
        times = drawn[self.images]
        right = self.right[times[self.right] > 0]
        found = np.cumsum(times[right]).astype(np.float64)
        wrong = np.cumsum(times)[right] - found
        _, points = metrics.precision_recall_curve(found, wrong, objects)
        return sum(precision for _, precision, _ in points) / RECALLS


@dataclass(frozen=True, kw_only=True)
class CocoMatches:
    """The detections of all images, matched at ten IoUs; the best 100 of each image and class count.

    ranked: by class and IoU. objects: the number of objects of each class in each image. The images have the order of
    the dataset.
    """

    ranked: list[list[_Ranked]]
    objects: Int64[np.ndarray, "classes images"]

    @classmethod
    def of(
        cls, samples: Iterable[Sample], detections: Mapping[ImageId, Detections], categories: Categories
    ) -> "CocoMatches":
        """Matches the detections. Raises InputError for images or classes that the dataset does not have."""
        samples = list(samples)
        index_of = {sample.id: index for index, sample in enumerate(samples)}
        ordered = in_pycocotools_order(samples)
        matching = match_all(ordered, detections, categories, ious=IOUS, max_dets=COCO_LIMIT)
        objects = np.zeros((len(categories), len(samples)), dtype=np.int64)
        by_class: list[list[_Cell]] = [[] for _ in range(len(categories))]
        cells = (cell for cell in matching.eval_imgs if cell is not None)
        for cell in sorted(cells, key=lambda cell: cell["image_id"]):
            label, image = cell["category_id"], index_of[ordered[cell["image_id"] - 1].id]
            objects[label, image] = len(cell["gtIgnore"]) - sum(cell["gtIgnore"])
            by_class[label].append(_cell(image, cell["dtScores"], cell["dtMatched"], cell["dtIgnore"]))
        return cls(ranked=[_rank(each) for each in by_class], objects=objects)

    def values(self, drawn: Int64[np.ndarray, " images"]) -> dict[str, float | None]:
        """Returns AP and AP50 as `CocoEvaluator` does; copies of a detection stay side by side."""
        of_classes = [
            [ranked.average_precision(drawn, int(number)) for ranked in at_ious]
            for at_ious, number in zip(self.ranked, self.objects @ drawn, strict=True)
            if number
        ]
        if not of_classes:
            return {"AP": None, "AP50": None}
        by_iou = np.mean(of_classes, axis=0)
        return {"AP": float(by_iou.mean()), "AP50": float(by_iou[0])}


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """The k detections of one class in one image, best first."""

    images: Int64[np.ndarray, " k"]
    scores: Float64[np.ndarray, " k"]
    right: Bool[np.ndarray, "ious k"]
    counted: Bool[np.ndarray, "ious k"]


def _cell(image: int, scores: list[float], right: list[list[bool]], ignored: list[list[bool]]) -> _Cell:
    shape = len(IOUS), len(scores)
    ignored_ = np.array(ignored, dtype=bool).reshape(shape)
    return _Cell(
        images=np.full(len(scores), image, dtype=np.int64),
        scores=np.array(scores, dtype=np.float64),
        right=np.array(right, dtype=bool).reshape(shape) & ~ignored_,
        counted=~ignored_,
    )


def _rank(cells: list[_Cell]) -> list[_Ranked]:
    """Returns the detections of one class at each IoU; the order of the cells breaks ties between equal scores."""
    if not cells:
        nothing = np.zeros(0, dtype=np.int64)
        return [_Ranked(images=nothing, right=nothing) for _ in IOUS]
    order = np.argsort(-np.concatenate([cell.scores for cell in cells]), kind="stable")
    images = np.concatenate([cell.images for cell in cells])[order]
    right = np.concatenate([cell.right for cell in cells], axis=1)[:, order]
    counted = np.concatenate([cell.counted for cell in cells], axis=1)[:, order]
    return [
        _Ranked(images=images[counts], right=np.flatnonzero(is_right[counts]))
        for is_right, counts in zip(right, counted, strict=True)
    ]
