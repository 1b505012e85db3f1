"""Compares two predictors, or their detections, on the images of a dataset."""

from collections.abc import Mapping

from uncrowd.argument_types import checked_types
from uncrowd.data.dataset import DetectionDataset
from uncrowd.errors import require_at_least, require_whole
from uncrowd.evaluation.build import require_scorable
from uncrowd.evaluation.comparison.bootstrap import Comparison
from uncrowd.evaluation.comparison.compare import RESAMPLES, compare_detections
from uncrowd.inference.evaluate import DATASET, DETECTOR, count_threshold, find_all, require_annotated
from uncrowd.inference.predictor import Predictor
from uncrowd.structures import Detections, ImageId, ScoreProtocol
from uncrowd.thresholds import Threshold


@checked_types(a=DETECTOR, b=DETECTOR, dataset=DATASET)
def compare(
    a: Predictor | Mapping[ImageId, Detections],
    b: Predictor | Mapping[ImageId, Detections],
    dataset: DetectionDataset,
    *,
    protocol: ScoreProtocol | None = None,
    thresholds: tuple[Threshold | None, Threshold | None] = (None, None),
    resamples: int = RESAMPLES,
    seed: int = 0,
    batch_size: int = 8,
    workers: int = 0,
) -> Comparison:
    """Says which of two predictors, or of two detectors' detections by image id, is better, and whether it is luck.

    It is a paired bootstrap over images. Both are scored on all images, and again on `resamples` resamples of the
    dataset: n images drawn with replacement from its n, the same for both, by
    `numpy.random.default_rng(seed).integers(n, size=n)` one resample after the other. The 95 % interval reaches from
    the 2.5th to the 97.5th percentile of the difference a - b. One is better, and not by luck of the images, if the
    interval of AP does not hold 0. Nothing is said of the luck of a training: another seed gives another detector.

    The scores are AP and AP50, at most 100 detections an image and class, for COCO's protocol, and AP, mMR and JI for
    CrowdHuman's; beside them the counting error, the sum of the absolute errors of counts over the number of objects.
    A resample is scored as if its images were a dataset, an image drawn twice being two. Of equal scores,
    the copies of a detection stay side by side.

    thresholds: the least scores of the detections of a and of b that are counted; None is the one that counted best on
    validation data, or 0.3. protocol, batch_size, workers: as in `evaluate`.

    Raises InputError and warns as `evaluate` does.
    """
    require_at_least(1, resamples=resamples)
    require_whole(0, seed=seed)
    require_annotated(dataset)
    protocol = protocol or dataset.protocol
    require_scorable(protocol, dataset.categories)
    least = count_threshold(a, dataset, thresholds[0]), count_threshold(b, dataset, thresholds[1])
    of_a, of_b = (find_all(each, dataset, batch_size=batch_size, workers=workers) for each in (a, b))
    return compare_detections(
        of_a,
        of_b,
        dataset,
        dataset.categories,
        protocol,
        thresholds=least,
        resamples=resamples,
        seed=seed,
    )
