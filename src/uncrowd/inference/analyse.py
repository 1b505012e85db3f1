"""Says what a predictor gets wrong on a dataset."""

from collections.abc import Mapping

from uncrowd.argument_types import checked_types
from uncrowd.data.dataset import DetectionDataset
from uncrowd.errors import require_threshold
from uncrowd.evaluation.analysis.errors import ErrorAnalysis, analyse_errors
from uncrowd.inference.evaluate import DATASET, DETECTOR, find_all, require_annotated
from uncrowd.inference.predictor import Predictor
from uncrowd.structures import Detections, ImageId


@checked_types(found=DETECTOR, dataset=DATASET)
def analyse(
    found: Predictor | Mapping[ImageId, Detections],
    dataset: DetectionDataset,
    *,
    threshold: float | None = None,
    batch_size: int = 8,
    workers: int = 0,
) -> ErrorAnalysis:
    """Says what a predictor, or detections by image id, get wrong at IoU 0.5: kinds of errors, and where they occur.

    `error_table` writes the result as text. threshold: the least score of a detection that is counted; by default the
    one with the best F1 on these images. batch_size, workers: as in `evaluate`.

    Raises InputError and warns as `evaluate` does.
    """
    require_annotated(dataset)
    if threshold is not None:
        require_threshold(threshold)
    detections = find_all(found, dataset, batch_size=batch_size, workers=workers)
    return analyse_errors(dataset, detections, dataset.categories, threshold=threshold)
