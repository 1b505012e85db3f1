"""Every picture of a data set through the predictor, over all ranks."""

from collections.abc import Callable
from typing import NamedTuple

from accelerate import Accelerator
from accelerate.utils import gather_object

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.loader import InferenceLoader
from uncrowd.inference.predictor import Predictor
from uncrowd.structures import Detections, PictureId


class Detected(NamedTuple):
    """Detections by picture, and the pictures that could not be read; they have none."""

    detections: dict[PictureId, Detections]
    unreadable: list[PictureId]


def detect(
    predictor: Predictor,
    dataset: DetectionDataset,
    *,
    batch_size: int = 8,
    workers: int = 0,
    accelerator: Accelerator | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> Detected:
    """Returns the unthresholded detections of every picture, on every rank of `accelerator` (None: this process).

    batch_size: pictures a rank at a time; it changes nothing but speed. on_batch: told batches done and in all.
    """
    ranks, rank = (accelerator.num_processes, accelerator.process_index) if accelerator is not None else (1, 0)
    loader = InferenceLoader(
        dataset,
        predictor.resize,
        multiple=predictor.model.multiple,
        batch_size=batch_size,
        workers=workers,
        world_size=ranks,
        rank=rank,
    )
    found: list[tuple[PictureId, Detections]] = []
    unreadable: list[PictureId] = []
    for done, batch in enumerate(loader, start=1):
        found += zip(batch.ids, predictor.predict_batch(batch), strict=True)
        unreadable += batch.skipped
        if on_batch is not None:
            on_batch(done, len(loader))
    if ranks > 1:
        found, unreadable = gather_object(found), gather_object(unreadable)
    return Detected(dict(found), unreadable)
