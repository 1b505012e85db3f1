"""Scores of a test split that has each image so many times, from one matching of its detections.

A bootstrap over images scores a thousand such splits. The match of a detection depends on its own image alone, so each
split needs only its precision and recall to be summed up again. The scores equal those of the evaluators for the
copies; only the order of equal scores within a copied image may differ.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from benchmarks.claims.overlapped import OverlappedMatches
from jaxtyping import Float64, Int64

from uncrowd.evaluation.coco import IOU_75
from uncrowd.evaluation.comparison.coco import CocoMatches
from uncrowd.evaluation.comparison.crowdhuman import CrowdHumanMatches
from uncrowd.evaluation.matching import match_image
from uncrowd.structures import Categories, Detections, ImageId, Sample

# How often each image occurs.
Drawn = Int64[np.ndarray, " images"]
# By name; NaN where a score is not defined.
Scored = dict[str, float]

# The intervals of `OVERLAPS` that hold the objects that overlap another by more than .5.
CROWDED = slice(3, None)


def scorer(
    samples: Sequence[Sample],
    found: Mapping[ImageId, Detections],
    categories: Categories,
    *,
    ious: Sequence[float],
    threshold: float | None,
) -> Callable[[Drawn], Scored]:
    """Matches the detections once, and returns what scores the images as often as each is drawn.

    ious: where recall of overlapped objects is measured. threshold: the least score of a detection that is counted.
    The scores are AP, AP50 and AP75; crowd AP, mMR, Recall and JI where there is one class; "found at IOU", the recall
    of objects that overlap another by more than .5; "duplicates at IOU", for each object; "count MAE" and "count bias",
    the mean absolute and the mean error of an image's count; "count total", the absolute errors for each object.
    """
    parts = [coco_scorer(samples, found, categories), count_scorer(samples, found, categories, threshold)]
    parts += [crowd_scorer(samples, found, categories)] if len(categories) == 1 else []
    parts += [overlapped_scorer(samples, found, iou) for iou in ious]
    return lambda drawn: {name: value for part in parts for name, value in part(drawn).items()}


def coco_scorer(
    samples: Sequence[Sample], found: Mapping[ImageId, Detections], categories: Categories
) -> Callable[[Drawn], Scored]:
    """Returns what gives AP, AP50 and AP75; a class without objects does not count."""
    matches = CocoMatches.of(samples, found, categories)
    at_75 = [of_class[IOU_75] for of_class in matches.ranked]

    def score(drawn: Drawn) -> Scored:
        objects = (matches.objects @ drawn).tolist()
        ap75 = [each.average_precision(drawn, many) for each, many in zip(at_75, objects, strict=True) if many]
        return _defined(matches.values(drawn)) | {"AP75": float(np.mean(ap75)) if ap75 else np.nan}

    return score


def crowd_scorer(
    samples: Sequence[Sample], found: Mapping[ImageId, Detections], categories: Categories
) -> Callable[[Drawn], Scored]:
    """Returns what gives CrowdHuman's AP (as crowd AP), mMR, Recall and JI of images with one class."""
    matches = CrowdHumanMatches.of(samples, found, categories)

    def score(drawn: Drawn) -> Scored:
        scored, objects = _defined(matches.values(drawn)), matches.objects @ drawn
        recall = drawn[matches.images][matches.right].sum() / objects if objects else np.nan
        return {"crowd AP": scored.pop("AP"), **scored, "Recall": float(recall)}

    return score


def _defined(values: Mapping[str, float | None]) -> Scored:
    return {name: np.nan if value is None else value for name, value in values.items()}


def overlapped_scorer(
    samples: Sequence[Sample], found: Mapping[ImageId, Detections], iou: float
) -> Callable[[Drawn], Scored]:
    """Returns what gives the recall of overlapped objects, and the duplicates, at one IoU; see `scorer`."""
    matches = OverlappedMatches.of(samples, found, iou=iou)

    def score(drawn: Drawn) -> Scored:
        recall = matches.recall(drawn)
        objects = sum(recall.objects[CROWDED])
        return {
            f"found at {iou:g}": sum(recall.found[CROWDED]) / objects if objects else np.nan,
            f"duplicates at {iou:g}": sum(recall.duplicates) / max(sum(recall.objects), 1),
        }

    return score


def count_scorer(
    samples: Sequence[Sample], found: Mapping[ImageId, Detections], categories: Categories, threshold: float | None
) -> Callable[[Drawn], Scored]:
    """Returns what gives the counting error; see `scorer`. All scores are NaN without a threshold."""
    classes = len(categories)
    objects = _objects(samples, classes)
    errors = _counts(samples, found, classes, threshold) - objects

    def score(drawn: Drawn) -> Scored:
        absolute, images, many = drawn @ np.abs(errors).sum(axis=1), drawn.sum(), drawn @ objects.sum(axis=1)
        return {
            "count MAE": float(absolute / images),
            "count bias": float(drawn @ errors.sum(axis=1) / images),
            "count total": float(absolute / many) if many else np.nan,
        }

    return score


def _counts(
    samples: Sequence[Sample], found: Mapping[ImageId, Detections], classes: int, threshold: float | None
) -> Float64[np.ndarray, "images classes"]:
    """Returns the detections with a score of at least `threshold`; those on ignored ground truth do not count."""
    counts = np.zeros((len(samples), classes))
    for index, sample in enumerate(samples):
        if threshold is not None and sample.id in found:
            detections = found[sample.id].above(threshold)
            counts[index] = np.bincount(
                detections.labels.numpy()[~match_image(sample, detections).ignored], minlength=classes
            )
    return counts if threshold is not None else np.full_like(counts, np.nan)


def _objects(samples: Sequence[Sample], classes: int) -> Int64[np.ndarray, "images classes"]:
    return np.array([np.bincount(each.labels[~each.ignore], minlength=classes) for each in samples])
