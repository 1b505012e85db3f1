"""Runs a predictor on every image of a dataset, over all ranks, and scores what it finds."""

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from shlex import quote
from typing import NamedTuple

from uncrowd.argument_types import checked_types
from uncrowd.data.check.training import require_readable
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.images.read import read_image, read_tiff_rows
from uncrowd.data.loader import InferenceLoader
from uncrowd.errors import InputError, require_whole
from uncrowd.evaluation.build import build_evaluator, require_scorable
from uncrowd.evaluation.coco import limits_up_to
from uncrowd.evaluation.counting import counting_errors
from uncrowd.evaluation.protocol import Scores
from uncrowd.inference.image_like import ImageLike
from uncrowd.inference.predictor import Predictor
from uncrowd.ranks import ALONE, Ranks
from uncrowd.structures import Categories, Detections, ImageId, Sample, ScoreProtocol
from uncrowd.thresholds import DEFAULT_THRESHOLD, Threshold, of_each_class
from uncrowd.words import counted, first, listed

# What to give to `evaluate` and `compare`.
DETECTOR = "a predictor, such as load(path), or detections by image id"
DATASET = "a split of a dataset, such as open_dataset(path).val"


class Detected(NamedTuple):
    """Detections by image, and a sentence for each image that could not be read; it has none."""

    detections: dict[ImageId, Detections]
    unreadable: list[str]


def detect(
    predictor: Predictor,
    dataset: DetectionDataset,
    *,
    batch_size: int = 8,
    workers: int = 0,
    ranks: Ranks = ALONE,
    on_batch: Callable[[int, int], None] | None = None,
) -> Detected:
    """Returns the unthresholded detections of every image, on every rank.

    batch_size: images at a time; it changes speed and memory, and in fp32 the last bits of results. ranks: the
    processes that share the batches; their number changes no result. on_batch: told batches done and in all by this
    process. With test-time augmentation or tiles images go one by one, and reading them is so little of the work that
    `workers` have none.

    Raises InputError when no image can be read.
    """
    if predictor.tta is None and predictor.tiles is None:
        loader = InferenceLoader(
            dataset,
            predictor.resize,
            multiple=predictor.model.multiple,
            batch_size=batch_size,
            workers=workers,
            world_size=ranks.size,
            rank=ranks.rank,
            max_pixels=predictor.max_pixels,
        )
        steps, total = _detect_in_batches(predictor, loader), len(loader)
    else:
        images = ranks.share(range(len(dataset)))
        steps, total = _detect_one_by_one(predictor, (dataset[index] for index in images)), len(images)
    own: list[_Step] = []
    for done, step in enumerate(steps, start=1):
        own.append(step)
        if on_batch is not None:
            on_batch(done, total)
    all_steps = ranks.gather(own)
    found = [of_image for in_step, _ in all_steps for of_image in in_step]
    unreadable = [sentence for _, in_step in all_steps for sentence in in_step]
    if unreadable and not found:
        require_readable(dataset, predictor.max_pixels)
    return Detected(dict(found), unreadable)


@checked_types(found=DETECTOR, dataset=DATASET)
def evaluate(
    found: Predictor | Mapping[ImageId, Detections],
    dataset: DetectionDataset,
    *,
    protocol: ScoreProtocol | None = None,
    max_dets: Sequence[int] | None = None,
    threshold: Threshold | None = None,
    batch_size: int = 8,
    workers: int = 0,
) -> Scores:
    """Scores a predictor, or detections by image id, and their counts against the ground truth of a dataset.

    Detections are in the pixels of their images and not thresholded; an image without any may be left out. protocol:
    by default the dataset's own. max_dets: COCO's limits on the detections of an image and class, ascending; by default
    1, 10, 100 and, where an image can have more, as many as it can. threshold: the least score of a detection that is
    counted, for all classes or for each; by default the one that counted best on validation data, or 0.3. The other
    scores use all detections. batch_size, workers: see `detect`.

    Raises InputError when the dataset has no ground truth, its classes have other names, or `protocol` cannot score
    it, and when no image can be read. Warns of single ones that cannot be read; they count as images in which nothing
    was found.
    """
    require_annotated(dataset)
    protocol = protocol or dataset.protocol
    require_scorable(protocol, dataset.categories)
    least = count_threshold(found, dataset, threshold)
    evaluator = None if max_dets is None else build_evaluator(protocol, tuple(max_dets))
    detections = find_all(found, dataset, batch_size=batch_size, workers=workers)
    if evaluator is None:
        evaluator = build_evaluator(protocol, limits_up_to(most_found(found, detections)))
    scores = evaluator.evaluate(dataset, detections, dataset.categories)
    counting = counting_errors(dataset, detections, dataset.categories, least)
    return replace(scores, counting=counting)


def count_threshold(
    found: Predictor | Mapping[ImageId, Detections], dataset: DetectionDataset, given: Threshold | None
) -> Threshold:
    """Returns the given threshold; without it the one that counted best on validation data, or else 0.3.

    Raises InputError when the classes of a predictor have other names than those of the dataset, and for a threshold
    that does not fit them.
    """
    best = None
    if isinstance(found, Predictor):
        require_known_classes(found.categories, dataset, "The predictor")
        best = found.thresholds
    threshold = given if given is not None else DEFAULT_THRESHOLD if best is None else best.count
    of_each_class(threshold, dataset.categories.names)
    return threshold


def require_annotated(dataset: DetectionDataset) -> None:
    """Raises InputError when the dataset has no ground truth."""
    if not dataset.annotated:
        raise InputError(f"{dataset.source} has no ground truth to score against; give a split that has.")


def find_all(
    found: Predictor | Mapping[ImageId, Detections], dataset: DetectionDataset, *, batch_size: int, workers: int
) -> Mapping[ImageId, Detections]:
    """Returns the detections of a predictor in all images; detections are returned as they are.

    Raises InputError when the classes have other names and when no image can be read. Warns of single images that
    cannot be read.
    """
    require_whole(1, batch_size=batch_size)
    require_whole(0, workers=workers)
    if not isinstance(found, Predictor):
        return found
    predictor = with_ids_of(dataset, found, "The predictor")
    detections, unreadable = detect(predictor, dataset, batch_size=batch_size, workers=workers)
    if unreadable:
        many = counted(len(unreadable), "image")
        warnings.warn(f"{many} cannot be read and count as empty:{listed(unreadable, 3)}", stacklevel=4)
    return detections


def most_found(found: Predictor | Mapping[ImageId, Detections], detections: Mapping[ImageId, Detections]) -> int:
    """Returns the most detections that an image can have, or the most that one has: tiles have more than the model."""
    proposals = found.model.config.proposals if isinstance(found, Predictor) else 0
    return max([proposals, *map(len, detections.values())])


def with_ids_of(dataset: DetectionDataset, predictor: Predictor, name: str) -> Predictor:
    """Returns the predictor with the category ids of the dataset.

    name: what an error calls the predictor. Raises InputError when the names of the classes differ.
    """
    require_known_classes(predictor.categories, dataset, name)
    predictor = copy.copy(predictor)
    predictor.categories = dataset.categories
    return predictor


def require_known_classes(categories: Categories, dataset: DetectionDataset, name: str) -> None:
    """Raises InputError when a detector's classes have other names than those of the dataset; `name` is what it is."""
    if categories.names != dataset.categories.names:
        mend = "give data of the same classes, in the order of their ids"
        if set(categories.names) <= set(dataset.categories.names):
            mend = f"keep those it knows: --classes {' '.join(map(quote, categories.names))}, in Python classes"
        raise InputError(
            f"{name} knows {_classes(categories)}, {dataset.source} has {_classes(dataset.categories)}; {mend}."
        )


# Of the next few images: what is in each, and why others could not be read.
_Step = tuple[list[tuple[ImageId, Detections]], list[str]]


def _detect_in_batches(predictor: Predictor, loader: InferenceLoader) -> Iterator[_Step]:
    for batch in loader:
        yield list(zip(batch.ids, predictor.predict_batch(batch), strict=True)), batch.skipped


def _detect_one_by_one(predictor: Predictor, samples: Iterable[Sample]) -> Iterator[_Step]:
    for sample in samples:
        try:
            found = predictor.predict(_read(predictor, sample))
        except InputError as error:
            yield [], [str(error)]
        else:
            yield [(sample.id, found)], []


def _read(predictor: Predictor, sample: Sample) -> ImageLike:
    limit = predictor.max_pixels
    rows = None if predictor.tiles is None else read_tiff_rows(sample.path, sample.size, max_pixels=limit)
    return rows or read_image(sample.path, sample.size, max_pixels=limit)


def _classes(categories: Categories) -> str:
    return f"{counted(len(categories), 'class')} ({first(categories.names, 5)})"
