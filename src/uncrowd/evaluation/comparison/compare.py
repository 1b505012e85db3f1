"""Compares the detections of two detectors with the scores of a protocol."""

from collections.abc import Iterable, Mapping

from uncrowd.evaluation.comparison.bootstrap import Comparison, Matches, paired_bootstrap
from uncrowd.evaluation.comparison.coco import CocoMatches
from uncrowd.evaluation.comparison.crowdhuman import CrowdHumanMatches
from uncrowd.structures import Categories, Detections, ImageId, Sample, ScoreProtocol

RESAMPLES = 1000


def compare_detections(
    a: Mapping[ImageId, Detections],
    b: Mapping[ImageId, Detections],
    samples: Iterable[Sample],
    categories: Categories,
    protocol: ScoreProtocol,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compares AP and AP50 of COCO's protocol, or AP, mMR and JI of CrowdHuman's; AP decides.

    `paired_bootstrap` has the rule. Raises InputError for detections of images or classes that the dataset does not
    have.
    """
    samples = list(samples)

    def matches(detections: Mapping[ImageId, Detections]) -> Matches:
        match protocol:
            case "coco":
                return CocoMatches.of(samples, detections, categories)
            case "crowdhuman":
                return CrowdHumanMatches.of(samples, detections, categories)

    return paired_bootstrap(matches(a), matches(b), images=len(samples), headline="AP", resamples=resamples, seed=seed)
