"""What quantization costs and gains: scores and times of a detector before and after it, image by image."""

from statistics import median
from time import perf_counter
from typing import NamedTuple

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.loader import InferenceLoader
from uncrowd.evaluation.protocol import Scores
from uncrowd.inference.evaluate import evaluate, with_ids_of
from uncrowd.inference.exported import ExportedDetector
from uncrowd.inference.predictor import Predictor
from uncrowd.structures import Detections, ImageId


class Compared(NamedTuple):
    """Scores on a dataset and median seconds an image, each before and after quantization.

    faster: the median over the images of how many times as fast the second is. images: how many there were.
    """

    scores: tuple[Scores, Scores]
    seconds: tuple[float, float]
    faster: float
    images: int


def compare_with(before: ExportedDetector, after: ExportedDetector, dataset: DetectionDataset) -> Compared:
    """Detects in each image with both detectors, one after the other, and scores what each finds."""
    predictors = [_predictor(detector, dataset) for detector in (before, after)]
    found: list[dict[ImageId, Detections]] = [{}, {}]
    seconds: list[list[float]] = [[], []]
    loader = InferenceLoader(dataset, predictors[0].resize, multiple=before.multiple, batch_size=1)
    for batch in (batch for batch in loader if batch.ids):  # an image that cannot be read takes no time
        for predictor, detections, times in zip(predictors, found, seconds, strict=True):
            start = perf_counter()
            of_batch = predictor.predict_batch(batch)
            times.append(perf_counter() - start)
            detections.update(zip(batch.ids, of_batch, strict=True))
    first, second = (evaluate(detections, dataset) for detections in found)
    faster = median(plain / quantized for plain, quantized in zip(*seconds, strict=True))
    return Compared((first, second), (median(seconds[0]), median(seconds[1])), faster, len(found[0]))


def _predictor(detector: ExportedDetector, dataset: DetectionDataset) -> Predictor:
    description = detector.description
    predictor = Predictor(detector, description.categories, description.preprocessing)
    return with_ids_of(dataset, predictor, str(detector.path))
