"""How long CrowdHuman's scores take: `python -m benchmarks.crowdhuman_scoring` from the project's root.

Makes a data set of the size of CrowdHuman's validation split and a detector's 500 boxes a picture, writes both as odgt,
and times reading, AP with mMR and Recall, and JI apart; then the plain twin of the tests on some of the pictures.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, TypeVar

import numpy as np
import torch
import tyro
from benchmarks.record import append, machine
from jaxtyping import Float64

from tests.plain import crowdhuman as plain
from uncrowd.data.crowdhuman import read_odgt
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.odgt import PERSON
from uncrowd.data.results import read_detections
from uncrowd.data.results_odgt import write_odgt_results
from uncrowd.errors import require_at_least
from uncrowd.evaluation.crowd_overlaps import crowd_overlaps
from uncrowd.evaluation.crowdhuman import CrowdHumanEvaluator
from uncrowd.evaluation.jaccard_index import count_pairs, jaccard_index
from uncrowd.structures import Detections, PictureId

Returned = TypeVar("Returned")
Boxes = Float64[np.ndarray, "n 4"]
HEIGHT, WIDTH = 800, 1200


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Time the scoring of CrowdHuman's validation split on made-up boxes."""

    # Pictures; CrowdHuman's validation split has 4370.
    pictures: int = 4370
    # Detections of each picture.
    detections: int = 500
    # Pictures that the plain twin scores too; 0 leaves it out.
    twin_pictures: int = 10
    # What the boxes are drawn from.
    seed: int = 0
    # Also append the result as a line of JSON to this file.
    append: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None

    def __post_init__(self) -> None:
        """Raises InputError for numbers that cannot be."""
        require_at_least(1, **{"--pictures": self.pictures, "--detections": self.detections})
        require_at_least(0, **{"--twin-pictures": self.twin_pictures, "--seed": self.seed})


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds; AP, mMR and Recall are one curve, JI is timed on its own.

    few: all four scores of the first few pictures, by us and by the twin; None without a twin.
    """

    reading: float
    curve: float
    jaccard_index: float
    few: float | None
    few_by_twin: float | None


def main(argv: Sequence[str]) -> int:
    """Prints a table."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.crowdhuman_scoring")
    with tempfile.TemporaryDirectory() as folder:
        truth, found = Path(folder) / "truth.odgt", Path(folder) / "found.odgt"
        _write(truth, found, arguments)
        size = (truth.stat().st_size + found.stat().st_size) / 2**20
        (dataset, detections), reading = _timed(lambda: _read(truth, found))
    _, curve = _timed(lambda: CrowdHumanEvaluator(with_jaccard_index=False).evaluate(dataset, detections, PERSON))
    _, index = _timed(lambda: jaccard_index(count_pairs(crowd_overlaps(s, detections[s.id])) for s in dataset))
    scores = CrowdHumanEvaluator().evaluate(dataset, detections, PERSON)
    few = few_by_twin = None
    if arguments.twin_pictures:
        few, few_by_twin = _against_twin(dataset.subset(range(min(arguments.twin_pictures, len(dataset)))), detections)
    timing = Timing(reading=reading, curve=curve, jaccard_index=index, few=few, few_by_twin=few_by_twin)
    people, regions = int((~dataset.ignore).sum()), int(dataset.ignore.sum())
    print(f"{machine()}: {len(dataset)} pictures, {size:.0f} MiB of odgt, {people} people, {regions} ignore regions")
    print(f"{sum(map(len, detections.values()))} detections, which score")
    print(f"{scores.table()}\n\n{_table(timing)}")
    if arguments.append is not None:
        settings = {key: value for key, value in asdict(arguments).items() if key != "append"}
        append(arguments.append, "crowdhuman_scoring", settings | {"seconds": asdict(timing)})
    return 0


def _table(timing: Timing) -> str:
    rows = {"reading": timing.reading, "AP, mMR, Recall": timing.curve, "JI": timing.jaccard_index}
    lines = [f"{name:<34}{seconds:>9.2f} s" for name, seconds in rows.items()]
    if timing.few is not None and timing.few_by_twin is not None:
        lines.append(f"{'all four on a few pictures':<34}{timing.few:>9.4f} s")
        lines.append(f"{'the same by the plain twin':<34}{timing.few_by_twin:>9.4f} s")
        lines.append(f"{'the twin takes':<34}{timing.few_by_twin / timing.few:>9.0f} times as long")
    return "\n".join(lines)


def _against_twin(few: DetectionDataset, detections: dict[PictureId, Detections]) -> tuple[float, float]:
    """Seconds that we take and that the twin takes, which has to find the same."""
    found = {sample.id: detections[sample.id] for sample in few}
    scores, ours = _timed(lambda: CrowdHumanEvaluator().evaluate(few, found, PERSON))
    pictures = [
        plain.Picture(
            size=sample.size,
            objects=sample.boxes[~sample.ignore].tolist(),
            regions=sample.boxes[sample.ignore].tolist(),
            detections=list(zip(found[sample.id].boxes.tolist(), found[sample.id].scores.tolist(), strict=True)),
        )
        for sample in few
    ]
    by_twin, twins = _timed(lambda: plain.scores(pictures))
    assert all(abs((scores.values[key] or 0) - (by_twin[key] or 0)) < 1e-9 for key in by_twin), (scores, by_twin)
    return ours, twins


def _write(truth: Path, found: Path, arguments: Arguments) -> None:
    rng = np.random.default_rng(arguments.seed)
    detections: dict[PictureId, Detections] = {}
    with truth.open("w", encoding="utf-8") as file:
        for number in range(arguments.pictures):
            people, regions = _people(rng), _boxes(rng.uniform((0, 0), (WIDTH, HEIGHT), (rng.poisson(3), 2)), rng)
            gtboxes = [{"tag": "person", "fbox": box, "extra": {"ignore": 0}} for box in _as_xywh(people)]
            gtboxes += [{"tag": "mask", "fbox": box, "extra": {"ignore": 1}} for box in _as_xywh(regions)]
            record = {"ID": f"{number:06d}", "height": HEIGHT, "width": WIDTH, "gtboxes": gtboxes}
            file.write(json.dumps(record) + "\n")
            detections[f"{number:06d}"] = _detections(people, arguments.detections, rng)
    write_odgt_results(found, detections, dict.fromkeys(detections, (HEIGHT, WIDTH)))


def _people(rng: np.random.Generator) -> Boxes:
    """About 23 people in a few groups; within a group they stand before each other."""
    groups = rng.uniform((0, HEIGHT / 4), (WIDTH, HEIGHT), (rng.integers(1, 5), 2))
    centres = groups[rng.integers(0, len(groups), max(1, rng.poisson(23)))]
    return _boxes(centres + rng.normal(0, (120, 40), centres.shape), rng)


def _boxes(centres: Float64[np.ndarray, "n 2"], rng: np.random.Generator) -> Boxes:
    """Standing boxes, most of them between 70 and 400 pixels high; they may reach out of the picture."""
    height = rng.lognormal(np.log(170), 0.5, (len(centres), 1))
    half = np.concatenate([height * rng.normal(0.42, 0.05, height.shape).clip(0.2), height], axis=1) / 2
    return np.concatenate([centres - half, centres + half], axis=1)


def _detections(people: Boxes, count: int, rng: np.random.Generator) -> Detections:
    """As of a detector of `count` queries: most people once and surely, then doubles of them, the rest anywhere."""
    found = people[rng.random(len(people)) < 0.93][:count]
    doubles = people[rng.integers(0, len(people), int(0.4 * (count - len(found))))]
    boxes = np.concatenate([_moved(found, 0.03, rng), _moved(doubles, 0.12, rng)])
    while len(boxes) < count:
        boxes = np.concatenate([boxes, _people(rng)])
    boxes = boxes[:count]
    scores = np.concatenate([rng.beta(5, 1.5, len(found)), rng.beta(1, 9, len(boxes) - len(found))])
    order = np.argsort(-scores)
    return Detections(
        boxes=torch.from_numpy(boxes[order]).float(),
        scores=torch.from_numpy(scores[order]).float(),
        labels=torch.zeros(len(order), dtype=torch.int64),
        categories=PERSON,
    )


def _moved(boxes: Boxes, by: float, rng: np.random.Generator) -> Boxes:
    """Each corner moved by about this share of the sides."""
    return boxes + rng.normal(0, by, boxes.shape) * np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def _as_xywh(boxes: Boxes) -> list[list[float]]:
    """Whole pixels, as people draw them."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).round().tolist()


def _read(truth: Path, found: Path) -> tuple[DetectionDataset, dict[PictureId, Detections]]:
    dataset = read_odgt(truth, split="val", pictures_needed=False)
    return dataset, read_detections(found, dataset.categories, dataset.ids.tolist())


def _timed(call: Callable[[], Returned]) -> tuple[Returned, float]:
    start = perf_counter()
    returned = call()
    return returned, perf_counter() - start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
