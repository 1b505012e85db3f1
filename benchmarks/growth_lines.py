"""The lines of `benchmarks.growth`: what is timed at each size of the quantity that grows."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from benchmarks.made_up_model import BatchConfig, build_model, made_up_batch, made_up_target
from benchmarks.memory import peak, peak_on_host
from benchmarks.parts import Parts, Watched, clock, parts_of
from benchmarks.training_parts import parts_of_loss
from torch import nn

from uncrowd.acceleration.for_inference import for_inference
from uncrowd.data.batches import inference_batches, plan_epoch
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.coco import read_coco
from uncrowd.data.transforms import ResizeConfig
from uncrowd.engine.accelerator import build_accelerator
from uncrowd.engine.micro_batches import to_device
from uncrowd.losses.criterion import SetCriterion
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.structures import Batch, StageOutput
from uncrowd.words import counted

INFERENCE, TRAINING = "inference", "training without optimiser"
LOSS_AND_GRADIENTS = "matching, loss, gradients"
READING, EPOCH, INFERENCE_PLAN = "reading the file", "plan of an epoch", "plan of inference"
PEAK_TRAINING, PEAK_LOSS, HELD, PEAK_READING = "of training", "of the loss", "held afterwards", "of reading"
OBJECTS_PER_IMAGE = 7

# Seconds of each part in each round, by what is timed and by size.
Seconds = dict[str, dict[int, list[dict[str, float]]]]


class Timed(NamedTuple):
    """A function to time, and the parts of it that are timed on their own."""

    call: Callable[[], object]
    watched: Sequence[Watched] = ()


@dataclass(frozen=True, kw_only=True)
class Line:
    """All measurements while `quantity` grew. bytes: peaks of memory, by what was measured and by size."""

    quantity: str
    where: str
    seconds: Seconds
    bytes: dict[str, dict[int, int | None]]


class ModelCase(NamedTuple):
    """A model and the batch it runs on, for one size of a line."""

    config: SparseRCNNConfig
    batch: BatchConfig


def model_line(quantity: str, where: str, cases: Mapping[int, ModelCase], rounds: int, *, memory: bool) -> Line:
    """Measures inference and training of each case."""
    configs = {case.config for case in cases.values()}
    inferring, training = {c: _inferring(c) for c in configs}, {c: _training(c) for c in configs}
    timed: dict[int, dict[str, Timed]] = {}
    for size, case in cases.items():
        infers, trains = inferring[case.config], training[case.config]
        batch, criterion = _batch(case.batch), SetCriterion(LossConfig())
        timed[size] = {
            INFERENCE: Timed(partial(_infer, infers, batch), parts_of(infers)),
            TRAINING: Timed(partial(_learn, trains, criterion, batch), [*parts_of(trains), *parts_of_loss(criterion)]),
        }
    return Line(
        quantity=quantity,
        where=where,
        seconds=_in_turns(timed, rounds),
        bytes={PEAK_TRAINING: {size: peak(_learn_once, case) for size, case in cases.items()}} if memory else {},
    )


def objects_line(sizes: Sequence[int], stages: int, rounds: int, *, memory: bool) -> Line:
    """Measures matching and loss. There are always as many predictions as the largest number of objects."""
    predictions, images = max(sizes), 2
    timed: dict[int, dict[str, Timed]] = {}
    for size in sizes:
        criterion = SetCriterion(LossConfig())
        call = partial(_match_and_compare, criterion, images, predictions, size, stages)
        timed[size] = {LOSS_AND_GRADIENTS: Timed(call(), parts_of_loss(criterion))}
    arguments = (images, predictions)
    return Line(
        quantity="objects",
        where=f"per image, {images} images of {predictions} predictions, {counted(stages, 'stage')}",
        seconds=_in_turns(timed, rounds),
        bytes={PEAK_LOSS: {size: peak(_compare_once, *arguments, size, stages) for size in sizes}} if memory else {},
    )


def boxes_line(sizes: Sequence[int], folder: Path, rounds: int, *, memory: bool) -> Line:
    """Measures how a COCO file with each number of boxes is read, and how its images are planned."""
    timed: dict[int, dict[str, Timed]] = {}
    held: dict[int, int | None] = {}
    files = {size: _write_annotations(folder / f"{size}.json", size) for size in sizes}
    for size, file in files.items():
        dataset = _read(file)
        held[size] = _bytes_held(dataset)
        timed[size] = {
            READING: Timed(partial(_read, file)),
            EPOCH: Timed(partial(plan_epoch, dataset.sizes, seed=0, epoch=0, batch_size=16)),
            INFERENCE_PLAN: Timed(
                partial(inference_batches, dataset.sizes, ResizeConfig(), multiple=32, batch_size=16)
            ),
        }
    peaks = {PEAK_READING: {size: peak_on_host(_read, file) for size, file in files.items()}} if memory else {}
    return Line(
        quantity="boxes",
        where=f"of a dataset, {OBJECTS_PER_IMAGE} per image",
        seconds=_in_turns(timed, rounds),
        bytes={HELD: held} | peaks,
    )


def _in_turns(timed: Mapping[int, Mapping[str, Timed]], rounds: int) -> Seconds:
    """Returns the seconds of every size in every round, after one warm-up round."""
    seconds: Seconds = {}
    for number in range(-1, rounds):
        for size, calls in timed.items():
            for what, (call, watched) in calls.items():
                parts = Parts(clock)
                with parts.watching(watched):
                    call()
                if number >= 0:
                    seconds.setdefault(what, {}).setdefault(size, []).append(dict(parts.of_part))
    return seconds


def _batch(config: BatchConfig) -> Batch:
    return to_device(made_up_batch(config), _device())


def _inferring(config: SparseRCNNConfig) -> SparseRCNN:
    return for_inference(build_model(config, _device()))


def _training(config: SparseRCNNConfig) -> SparseRCNN:
    return build_model(config, _device())


def _infer(model: SparseRCNN, batch: Batch) -> None:
    with torch.inference_mode():
        model.decode(model(batch.images, batch.sizes))


def _learn(model: SparseRCNN, criterion: SetCriterion, batch: Batch) -> None:
    num_boxes = sum(len(target.labels) for target in batch.targets)
    criterion(model(batch.images, batch.sizes), batch.targets, num_boxes).total.backward()
    model.zero_grad(set_to_none=True)


def _learn_once(case: ModelCase) -> None:
    _learn(_training(case.config), SetCriterion(LossConfig()), _batch(case.batch))


def _match_and_compare(
    criterion: nn.Module, images: int, predictions: int, objects: int, stages: int
) -> Callable[[], None]:
    """Returns a function that matches and compares made-up outputs of a model with made-up objects."""
    size, classes, rng = (800, 1088), 80, np.random.default_rng(0)
    outputs = []
    for _ in range(stages):
        boxes = torch.stack([made_up_target(predictions, size, classes, rng).boxes for _ in range(images)])
        logits = torch.from_numpy(rng.normal(-4.6, 1, (images, predictions, classes))).float()
        predicted = (part.to(_device()).requires_grad_() for part in (logits, boxes))
        outputs.append(StageOutput(*predicted, queries=torch.zeros(images, predictions, 0)))
    targets = [made_up_target(objects, size, classes, rng).to(_device()) for _ in range(images)]

    def compare() -> None:
        criterion(outputs, targets, images * objects).total.backward()

    return compare


def _compare_once(images: int, predictions: int, objects: int, stages: int) -> None:
    _match_and_compare(SetCriterion(LossConfig()), images, predictions, objects, stages)()


def _read(file: Path) -> DetectionDataset:
    return read_coco(file, images_needed=False)


def _bytes_held(dataset: DetectionDataset) -> int:
    values = (getattr(dataset, field.name) for field in fields(dataset))
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))


def _write_annotations(file: Path, boxes: int) -> Path:
    """Writes COCO JSON with so many boxes, in images of three sizes that do not exist. Returns the file."""
    rng = np.random.default_rng(0)
    images = max(1, boxes // OBJECTS_PER_IMAGE)
    sides = np.array([(480, 640), (640, 480), (426, 640)])[rng.integers(3, size=images)]
    of_image, labels = rng.integers(images, size=boxes), rng.integers(1, 81, size=boxes)
    extents = rng.uniform(8, 200, (boxes, 2))
    corners = rng.uniform(0, 1, (boxes, 2)) * (sides[of_image, ::-1] - extents)
    found = zip(
        of_image.tolist(), labels.tolist(), np.concatenate([corners, extents], axis=1).round(2).tolist(), strict=True
    )
    record = {
        "categories": [{"id": id_, "name": f"class {id_}"} for id_ in range(1, 81)],
        "images": [
            {"id": id_, "file_name": f"{id_:012d}.jpg", "height": height, "width": width}
            for id_, (height, width) in enumerate(sides.tolist())
        ],
        "annotations": [
            {"id": id_, "image_id": image, "category_id": label, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for id_, (image, label, box) in enumerate(found)
        ],
    }
    file.write_text(json.dumps(record), encoding="utf-8")
    return file


def _device() -> torch.device:
    return build_accelerator().device
