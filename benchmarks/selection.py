"""Counts the objects left without a query: `python -m benchmarks.selection WEIGHTS DATA` from the project's root.

A detector with dense queries predicts a box at each of its points. Different rules then choose N of these points: ours,
which ranks and never deletes; greedy NMS before the N best; and the N best scores alone. An object has a query if the
box of a chosen point overlaps it by an IoU of at least 0.5 and overlaps no other object more. Objects are counted by
their largest IoU with another, and classes play no part, as in the selection itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from benchmarks.command import run
from benchmarks.record import commit, machine
from jaxtyping import Float, Int64
from torch import Tensor
from torchvision.ops import nms
from tyro.conf import Positional

import uncrowd
from uncrowd.boxes import rescale
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.loader import InferenceLoader
from uncrowd.errors import InputError
from uncrowd.evaluation.analysis.nearest import OVERLAPS, crowding, nearest_objects
from uncrowd.inference.predictor import Predictor
from uncrowd.models.query_selection import best_points
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.structures import Categories, Detections, ImageId, Sample

# Scores and boxes of the points of one image -> indices of those that become queries.
Rule = Callable[[Float[Tensor, " p"], Float[Tensor, "p 4"]], Int64[Tensor, " k"]]
# Where `benchmarks.claims` draws the line between an object that is found and one that is not.
IOU = 0.5
ANY_CLASS = Categories(ids=(0,), names=("object",))


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare rules that choose queries by the objects that they leave without one."""

    # Weights with dense queries, or the folder of such a run.
    weights: Positional[Path]
    # A dataset.
    data: Positional[Path]
    # The split of it.
    split: Literal["train", "val", "test"] = "val"
    # Numbers of queries.
    proposals: tuple[int, ...] = (20, 30, 60)


def main(argv: Sequence[str]) -> int:
    """Prints a table for each number of queries."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.selection")
    dataset = getattr(uncrowd.open_dataset(arguments.data), arguments.split)
    if dataset is None:
        raise InputError(f"{arguments.data} has no {arguments.split} split; give one that it has with --split.")
    predictor = uncrowd.load(arguments.weights)
    model = predictor.model
    if not isinstance(model, SparseRCNN) or not model.config.any_proposals:
        raise InputError(f"{arguments.weights} has learned queries; give a detector trained with dense ones.")
    points = dict(all_points(predictor, model, dataset))
    objects = np.bincount(crowding([*dataset]), minlength=len(OVERLAPS))
    print(f"{machine()}, commit {commit()}; {objects.sum()} objects in {len(dataset)} images of {dataset.source}")
    for number in arguments.proposals:
        print(f"\n{number} queries: objects without one, of all, by their largest IoU with another")
        print(f"{'rule':<18}{'queries':>8}" + "".join(f"{name:>14}" for name in _interval_names()))
        for name, rule in rules(number, int(model.config.dense_head.competing(number))).items():
            missed, used = left_out(dataset, points, rule)
            cells = "".join(f"{f'{m} of {n}':>14}" for m, n in zip(missed, objects, strict=True))
            print(f"{name:<18}{used:>8.1f}{cells}")
    return 0


def rules(number: int, candidates: int) -> dict[str, Rule]:
    """Returns the rules by name. number: of queries. candidates: so many points with the best scores compete."""
    return {
        "ranked by overlap": partial(_ranked, number=number, candidates=candidates),
        "NMS at .7": partial(_after_nms, number=number, candidates=candidates, threshold=0.7),
        "NMS at .85": partial(_after_nms, number=number, candidates=candidates, threshold=0.85),
        "best scores": lambda scores, boxes: scores.topk(min(number, len(scores))).indices,
    }


def left_out(
    samples: Iterable[Sample], points: Mapping[ImageId, Detections], rule: Rule
) -> tuple[Int64[np.ndarray, " intervals"], float]:
    """Returns how many objects of each interval of `OVERLAPS` have no query, and the mean number of queries."""
    samples = [replace(sample, labels=np.zeros_like(sample.labels)) for sample in samples]
    chosen = {id: found[rule(found.scores, found.boxes)] for id, found in points.items()}
    nearest, intervals = nearest_objects(samples, chosen), crowding(samples)
    without = np.ones(len(intervals), dtype=bool)
    without[nearest.objects[nearest.right(IOU)]] = False
    mean = sum(map(len, chosen.values())) / len(chosen)
    return np.bincount(intervals[without], minlength=len(OVERLAPS)), mean


@torch.inference_mode()
def all_points(
    predictor: Predictor, model: SparseRCNN, dataset: DetectionDataset
) -> Iterator[tuple[ImageId, Detections]]:
    """Yields what the dense head predicts at all points of each image, in image pixels and in the order of the points.

    The score of a point is that of its best class. model: that of the predictor.
    """
    assert model.dense_head is not None, "dense queries come from a dense head"
    for batch in InferenceLoader(dataset, predictor.resize, multiple=model.multiple, batch_size=8, workers=0):
        images, sizes = batch.images.to(predictor.device), batch.sizes.to(predictor.device)
        points = model.dense_head(model.pyramid(model.backbone(model.normalise(images, sizes)))).main
        scores, boxes = points.logits.amax(dim=-1).sigmoid().cpu(), points.boxes.cpu()
        for row, (id, size) in enumerate(zip(batch.ids, batch.image_sizes, strict=True)):
            height, width = batch.sizes[row].tolist()
            yield (
                id,
                Detections(
                    boxes=rescale(boxes[row], (height, width), size),
                    scores=scores[row],
                    labels=torch.zeros(len(scores[row]), dtype=torch.int64),
                    categories=ANY_CLASS,
                ),
            )


def _ranked(scores: Tensor, boxes: Tensor, *, number: int, candidates: int) -> Tensor:
    return best_points(scores[None], boxes[None], number, candidates)[0]


def _after_nms(scores: Tensor, boxes: Tensor, *, number: int, candidates: int, threshold: float) -> Tensor:
    best = scores.topk(min(candidates, len(scores))).indices
    return best[nms(boxes[best], scores[best], threshold)[:number]]


def _interval_names() -> list[str]:
    """Returns what an interval of `OVERLAPS` is called in the table."""
    return ["none", *(f"to {end:g}" for end in OVERLAPS[1:])]


if __name__ == "__main__":
    run(main)
