"""CrowdHuman's AP, mMR and JI of any resample of the images, from one matching."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from uncrowd.evaluation.crowd_overlaps import crowd_overlaps
from uncrowd.evaluation.crowdhuman import curve_values, match_crowd, require_one_class
from uncrowd.evaluation.jaccard_index import THRESHOLDS, count_pairs, index_of_image
from uncrowd.evaluation.protocol import check_same_dataset
from uncrowd.structures import Categories, Detections, ImageId, Sample


@dataclass(frozen=True, kw_only=True)
class CrowdHumanMatches:
    """The detections of all images that count, best first, and the Jaccard index of each image at each threshold.

    images: the index of the image of each detection. right: those that found an object. objects: the number of each
    image. indices: NaN for an image with neither detections nor objects.
    """

    images: Int64[np.ndarray, " k"]
    right: Bool[np.ndarray, " k"]
    objects: Int64[np.ndarray, " images"]
    indices: Float64[np.ndarray, "images thresholds"]

    @classmethod
    def of(
        cls, samples: Iterable[Sample], detections: Mapping[ImageId, Detections], categories: Categories
    ) -> "CrowdHumanMatches":
        """Matches the detections. Raises InputError as `CrowdHumanEvaluator.evaluate` does."""
        samples = list(samples)
        require_one_class(categories)
        check_same_dataset(samples, detections, categories)
        overlaps = [crowd_overlaps(sample, detections.get(sample.id)) for sample in samples]
        matched = [match_crowd(each) for each in overlaps]
        scores = np.concatenate([np.zeros(0), *(image.scores for image in matched)])
        right = np.concatenate([np.zeros(0, dtype=bool), *(image.right for image in matched)])
        images = np.repeat(np.arange(len(samples)), [len(image.scores) for image in matched])
        order = np.argsort(-scores, kind="stable")
        return cls(
            images=images[order],
            right=right[order],
            objects=np.array([(~sample.ignore).sum() for sample in samples], dtype=np.int64),
            indices=np.array([index_of_image(count_pairs(each)) for each in overlaps]).reshape(-1, len(THRESHOLDS)),
        )

    def values(self, drawn: Int64[np.ndarray, " images"]) -> dict[str, float | None]:
        """Returns AP, mMR and JI as `CrowdHumanEvaluator` does; copies of a detection stay side by side."""
        right = np.repeat(self.right, drawn[self.images])
        values = curve_values(right, objects=int(self.objects @ drawn), images=int(drawn.sum()))
        if values["AP"] is None:
            return {"AP": None, "mMR": None, "JI": None}
        total, number = drawn @ np.nan_to_num(self.indices), drawn @ ~np.isnan(self.indices)
        by_threshold = total[number > 0] / number[number > 0]
        ji = float(by_threshold.max()) if len(by_threshold) else None
        return {"AP": values["AP"], "mMR": values["mMR"], "JI": ji}
