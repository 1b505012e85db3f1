"""Compares the detections of two detectors with the scores of a protocol, and their counts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from uncrowd.evaluation.comparison.bootstrap import Comparison, Matches, paired_bootstrap
from uncrowd.evaluation.comparison.coco import CocoMatches
from uncrowd.evaluation.comparison.counts import CountErrors
from uncrowd.evaluation.comparison.crowdhuman import CrowdHumanMatches
from uncrowd.structures import Categories, Detections, ImageId, Sample, ScoreProtocol
from uncrowd.thresholds import DEFAULT_THRESHOLD, Threshold

RESAMPLES = 1000


def compare_detections(
    a: Mapping[ImageId, Detections],
    b: Mapping[ImageId, Detections],
    samples: Iterable[Sample],
    categories: Categories,
    protocol: ScoreProtocol,
    *,
    thresholds: tuple[Threshold, Threshold] = (DEFAULT_THRESHOLD, DEFAULT_THRESHOLD),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compares AP and AP50 of COCO's protocol, or AP, mMR and JI of CrowdHuman's, and counting errors; AP decides.

    thresholds: the least scores of the detections that are counted. `paired_bootstrap` has the rule. Raises InputError
    for detections of images or classes that the dataset does not have, and for a threshold that does not fit these.
    """
    samples = list(samples)

    def matches(detections: Mapping[ImageId, Detections], threshold: Threshold) -> Matches:
        errors = CountErrors.of(samples, detections, categories, threshold)
        match protocol:
            case "coco":
                return _Both(CocoMatches.of(samples, detections, categories), errors)
            case "crowdhuman":
                return _Both(CrowdHumanMatches.of(samples, detections, categories), errors)

    of_a, of_b = (matches(found, threshold) for found, threshold in zip((a, b), thresholds, strict=True))
    return paired_bootstrap(of_a, of_b, images=len(samples), headline="AP", resamples=resamples, seed=seed)


@dataclass(frozen=True)
class _Both:
    """The scores of a protocol, and the counting error."""

    matches: Matches
    counts: CountErrors

    def values(self, drawn: Int64[np.ndarray, " images"]) -> dict[str, float | None]:
        """Returns the scores of both."""
        return self.matches.values(drawn) | self.counts.values(drawn)
