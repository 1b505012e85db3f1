"""Computes COCO's scores (cocodataset.org/#detection-eval) with hotcoco, for any number of detections per image."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import hotcoco
import numpy as np
from jaxtyping import Float

from uncrowd.errors import InputError
from uncrowd.evaluation.as_hotcoco import (
    ground_truth,
    hotcoco_categories,
    hotcoco_detections,
    in_pycocotools_order,
    match_all,
    most_in_an_image,
)
from uncrowd.evaluation.protocol import Scores, check_same_dataset
from uncrowd.structures import Categories, Detections, ImageId, Sample

# COCO counts at most this many detections per image and class: AR has a value for each limit, AP uses the last.
COCO_LIMITS = (1, 10, 100)
COCO_LIMIT = COCO_LIMITS[-1]
# Indices into hotcoco's arrays: precision (IoU, recall, class, area, max_dets), recall (IoU, class, area, max_dets).
ALL, SMALL, MEDIUM, LARGE = range(4)
IOU_50, IOU_75 = 0, 5


@dataclass(frozen=True, kw_only=True)
class CocoEvaluator:
    """Computes COCO's box AP and AR.

    max_dets: limits on the number of detections that count per image and class, ascending; those with the highest
    scores count. AR is computed at each limit. AP and the scores by area are computed at 100, as COCO does, or at the
    last limit if 100 is not among them. In crowds 100 is too few, so AP and AP50 are also computed at each limit
    above it.
    """

    max_dets: tuple[int, ...] = COCO_LIMITS

    def __post_init__(self) -> None:
        """Raises InputError unless the limits are ascending positive numbers."""
        if not self.max_dets or self.max_dets[0] < 1 or list(self.max_dets) != sorted(set(self.max_dets)):
            raise InputError(f"max_dets is {self.max_dets}; give ascending positive numbers, such as 1 10 100.")

    def evaluate(
        self, samples: Iterable[Sample], detections: Mapping[ImageId, Detections], categories: Categories
    ) -> Scores:
        """Returns AP, AP50, AP75, APs, APm, APl, AR@k, ARs, ARm, ARl, AP@k, AP50@k and the AP of each class.

        AR@k exists for each k of `max_dets`, AP@k and AP50@k for each k above 100.

        Ignored ground truth is what COCO calls a crowd: detections on it count neither as right nor as wrong. A score
        is None if there is nothing to find (no ground truth at all, or none of that size or class). If there are no
        detections, the other scores are 0. The scores equal those of pycocotools, except that its summary prints -1
        for AP when max_dets is changed. Images are matched one at a time, and only the results stay in memory.

        Raises InputError for detections of images or classes that the dataset does not have.
        """
        samples = in_pycocotools_order(samples)
        check_same_dataset(samples, detections, categories)
        params = hotcoco.Params(iou_type="bbox")
        params.max_dets = list(self.max_dets)
        matching = hotcoco.StreamingEval(hotcoco_categories(categories), "bbox", params=params)
        annotation_ids = count(1)
        for number, sample in enumerate(samples, start=1):
            found = hotcoco_detections(number, detections.get(sample.id))
            matching.update([{"id": number}], ground_truth(number, sample, annotation_ids), found)
        matched = matching.finalize()
        matched.accumulate()
        assert matched.eval is not None
        return self._summary(matched.eval["precision"], matched.eval["recall"], categories)

    def _summary(
        self,
        precision: Float[np.ndarray, "iou recall class area k"],
        recall: Float[np.ndarray, "iou class area k"],
        categories: Categories,
    ) -> Scores:
        own = self.max_dets.index(COCO_LIMIT) if COCO_LIMIT in self.max_dets else -1
        ap, ar = precision[..., own], recall[..., own]
        more = [(k, precision[..., ALL, i]) for i, k in enumerate(self.max_dets) if k > COCO_LIMIT]
        values = {
            "AP": _mean(ap[..., ALL]),
            "AP50": _mean(ap[IOU_50, ..., ALL]),
            "AP75": _mean(ap[IOU_75, ..., ALL]),
            "APs": _mean(ap[..., SMALL]),
            "APm": _mean(ap[..., MEDIUM]),
            "APl": _mean(ap[..., LARGE]),
            **{f"AR@{k}": _mean(recall[..., ALL, i]) for i, k in enumerate(self.max_dets)},
            "ARs": _mean(ar[..., SMALL]),
            "ARm": _mean(ar[..., MEDIUM]),
            "ARl": _mean(ar[..., LARGE]),
            **{f"AP@{k}": _mean(of_all) for k, of_all in more},
            **{f"AP50@{k}": _mean(of_all[IOU_50]) for k, of_all in more},
        }
        per_class = {name: _mean(ap[:, :, label, ALL]) for label, name in enumerate(categories.unique_names)}
        meanings = {name: _meaning(name, self.max_dets) for name in values}
        return Scores(headline="AP", values=values, per_class=per_class, meanings=meanings)


def limits_up_to(most: int) -> tuple[int, ...]:
    """Returns COCO's limits, followed by `most`, the largest number of detections per image, if it is above 100."""
    return (*COCO_LIMITS, most) if most > COCO_LIMIT else COCO_LIMITS


def _meaning(name: str, max_dets: tuple[int, ...]) -> str:
    kind, _, limit = name.partition("@")
    match kind:
        case "AP" | "AP50" if limit:
            return (
                f"as {kind}, but over the best {limit} boxes of each image and class instead of the best {COCO_LIMIT}"
            )
        case "AP":
            counted = COCO_LIMIT if COCO_LIMIT in max_dets else max_dets[-1]
            boxes = f"the best {counted} boxes of each image and class"
            return f"mean over all classes and ten IoU thresholds from 0.5 to 0.95, objects of any size, over {boxes}"
        case "AR":
            boxes = "box" if limit == "1" else f"{limit} boxes"
            return f"share of the objects found by the best {boxes} of each image and class"
        case _:
            return _MEANINGS[kind]


_MEANINGS = {
    "AP50": "as AP, but a box is right if its IoU with the object is at least 0.5",
    "AP75": "as AP, but a box is right if its IoU with the object is at least 0.75, so it must be tight",
    "APs": "AP of small objects, below 32 x 32 pixels",
    "APm": "AP of medium objects, from 32 x 32 to 96 x 96 pixels",
    "APl": "AP of large objects, above 96 x 96 pixels",
    "ARs": "share of the small objects that are found",
    "ARm": "share of the medium objects that are found",
    "ARl": "share of the large objects that are found",
}


@dataclass(frozen=True, kw_only=True)
class ImageScore:
    """The mistakes in one image at IoU 0.5.

    found: ground-truth boxes with a matching detection. wrong: detections without a matching box. missed: boxes
    without a matching detection. f1: the F1 score of these numbers; 1 if the image has neither boxes nor detections.
    """

    id: ImageId
    f1: float
    found: int
    wrong: int
    missed: int


def rank_images(
    samples: Iterable[Sample],
    detections: Mapping[ImageId, Detections],
    categories: Categories,
    *,
    threshold: float,
) -> list[ImageScore]:
    """Returns all images, ordered by the F1 at IoU 0.5 of the detections with a score of at least `threshold`.

    The worst image comes first; of images with the same F1, the one with more mistakes. Detections on ignored ground
    truth are no mistakes. Raises InputError as `CocoEvaluator.evaluate` does.
    """
    kept = {id: found.above(threshold) for id, found in detections.items()}
    samples = in_pycocotools_order(samples)
    matching = match_all(samples, kept, categories, ious=(0.5,), max_dets=most_in_an_image(kept))
    by_number = matching.image_diagnostics(iou_thr=0.5)["img_summary"]
    scores = [_image_score(sample.id, by_number.get(number)) for number, sample in enumerate(samples, start=1)]
    return sorted(scores, key=lambda score: (score.f1, -score.wrong - score.missed))


def _image_score(id: ImageId, summary: dict[str, Any] | None) -> ImageScore:
    found, wrong, missed = (summary["tp"], summary["fp"], summary["fn"]) if summary else (0, 0, 0)
    total = 2 * found + wrong + missed
    return ImageScore(id=id, f1=2 * found / total if total else 1.0, found=found, wrong=wrong, missed=missed)


def _mean(values: np.ndarray) -> float | None:
    """Returns the mean of the defined values; hotcoco, like pycocotools, marks undefined ones with -1."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None
