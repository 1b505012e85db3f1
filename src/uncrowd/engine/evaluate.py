"""Every image of a dataset through the predictor, over all ranks."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from accelerate import Accelerator
from accelerate.utils import gather_object

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.image import read_image
from uncrowd.data.loader import InferenceLoader
from uncrowd.errors import InputError
from uncrowd.inference.predictor import Predictor
from uncrowd.structures import Detections, ImageId, Sample


class Detected(NamedTuple):
    """Detections by image, and the images that could not be read; they have none."""

    detections: dict[ImageId, Detections]
    unreadable: list[ImageId]


def detect(
    predictor: Predictor,
    dataset: DetectionDataset,
    *,
    batch_size: int = 8,
    workers: int = 0,
    accelerator: Accelerator | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> Detected:
    """Returns the unthresholded detections of every image, on every rank of `accelerator` (None: this process).

    batch_size: images a rank at a time; it changes nothing but speed. on_batch: told batches done and in all. With
    test-time augmentation images go one by one, and reading them is so little of the work that `workers` have none.
    """
    ranks, rank = (accelerator.num_processes, accelerator.process_index) if accelerator is not None else (1, 0)
    if predictor.tta is None:
        loader = InferenceLoader(
            dataset,
            predictor.resize,
            multiple=predictor.model.multiple,
            batch_size=batch_size,
            workers=workers,
            world_size=ranks,
            rank=rank,
        )
        steps, total = _detect_in_batches(predictor, loader), len(loader)
    else:
        images = range(rank, len(dataset), ranks)
        steps, total = _detect_one_by_one(predictor, (dataset[index] for index in images)), len(images)
    found: list[tuple[ImageId, Detections]] = []
    unreadable: list[ImageId] = []
    for done, (detections, skipped) in enumerate(steps, start=1):
        found += detections
        unreadable += skipped
        if on_batch is not None:
            on_batch(done, total)
    if ranks > 1:
        found, unreadable = gather_object(found), gather_object(unreadable)
    return Detected(dict(found), unreadable)


# Of the next few images: what is in each, and those that could not be read.
_Step = tuple[list[tuple[ImageId, Detections]], list[ImageId]]


def _detect_in_batches(predictor: Predictor, loader: InferenceLoader) -> Iterator[_Step]:
    for batch in loader:
        yield list(zip(batch.ids, predictor.predict_batch(batch), strict=True)), batch.skipped


def _detect_one_by_one(predictor: Predictor, samples: Iterable[Sample]) -> Iterator[_Step]:
    for sample in samples:
        try:
            image = read_image(sample.path, sample.size)
        except InputError:
            yield [], [sample.id]
        else:
            yield [(sample.id, predictor.predict(image))], []
