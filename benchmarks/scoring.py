"""How long scoring takes: `python -m benchmarks.scoring` from the project's root.

Boxes are made up. Everyone scores the same ones in every round, and has to find the same numbers.

COCO's scores, from what is in memory to numbers. Ours start from samples and detections, as a dataset and a predictor
hold them, and handing these to hotcoco counts; pycocotools starts from records made for it beforehand, and indexing
these (`createIndex`, `loadRes`) counts. CrowdHuman's, which no kept package computes: reading both odgt files, AP with
mMR and Recall, and JI apart; then all four beside the plain twin of the tests, on the same images, reading left out.
"""

import contextlib
import io
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import tyro
from benchmarks.command import run
from benchmarks.made_up_boxes import draw_coco, write_crowds
from benchmarks.record import append, machine, require_appendable
from benchmarks.turns import Rounds, table, take_turns
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.plain import crowdhuman as plain
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.crowdhuman import read_odgt
from uncrowd.data.formats.odgt import PERSON
from uncrowd.data.results.file import read_detections
from uncrowd.errors import InputError, require_at_least
from uncrowd.evaluation.coco import CocoEvaluator
from uncrowd.evaluation.crowd_overlaps import crowd_overlaps
from uncrowd.evaluation.crowdhuman import CrowdHumanEvaluator
from uncrowd.evaluation.jaccard_index import count_pairs, jaccard_index
from uncrowd.structures import Detections, ImageId, ScoreProtocol
from uncrowd.words import counted

Found = dict[ImageId, Detections]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Time COCO's and CrowdHuman's scores on made-up boxes, and who else computes them."""

    # Whose scores.
    protocols: tuple[ScoreProtocol, ...] = ("coco", "crowdhuman")
    # Images of each; COCO's val2017 has 5000, CrowdHuman's validation split 4370.
    images: int = 5000
    # Detections of each of COCO's images.
    coco_detections: int = 100
    # Detections of each of CrowdHuman's.
    crowd_detections: int = 500
    # CrowdHuman's images that the plain twin scores too, at about 20 a second; as many as there are: all; 0: none.
    twin_images: int = 100
    # Rounds. In one of 5000 images, pycocotools takes about a minute.
    rounds: int = 3
    # What the boxes are drawn from.
    seed: int = 0
    # Also append the result as a line of JSON to this file.
    append: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None

    def __post_init__(self) -> None:
        """Raises InputError for what cannot be timed or written."""
        detections = {"--coco-detections": self.coco_detections, "--crowd-detections": self.crowd_detections}
        require_at_least(1, **{"--images": self.images, "--rounds": self.rounds}, **detections)
        if not self.protocols:
            raise InputError("--protocols is empty; there is nothing to score.")
        require_at_least(0, **{"--twin-images": self.twin_images, "--seed": self.seed})
        require_appendable(self.append)  # last, for it makes the file


def main(argv: Sequence[str]) -> int:
    """Prints a table for each comparison."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.scoring")
    print(f"{machine()}, {counted(arguments.rounds, 'round')}")
    seconds: dict[str, Rounds] = {}
    if "coco" in arguments.protocols:
        seconds["coco"] = _coco(arguments)
    if "crowdhuman" in arguments.protocols:
        seconds |= _crowdhuman(arguments)
    if arguments.append is not None:
        append(arguments.append, "scoring", arguments, {"seconds": seconds})
    return 0


def _coco(arguments: Arguments) -> Rounds:
    dataset, found = draw_coco(arguments.images, arguments.coco_detections, arguments.seed)
    ours = partial(CocoEvaluator().evaluate, dataset, found, dataset.categories)
    scores = ours()  # and a warm-up, which pycocotools does not need
    truth, records = _coco_truth(dataset), _coco_results(found)

    def theirs() -> None:
        _require_same(scores.values, _pycocotools(truth, records))

    rounds = take_turns({"ours": ours, "pycocotools": theirs}, arguments.rounds, warm_up=0)
    print(f"\nCOCO: {len(dataset)} images, {len(dataset.boxes)} objects, {len(records)} detections, which score")
    print(f"{replace(scores, per_class={}).table()}\n\n{table(rounds, 'pycocotools')}")
    return rounds


def _pycocotools(truth: dict[str, Any], records: list[dict[str, Any]]) -> dict[str, float | None]:
    """COCO's twelve numbers from records in memory, by our names for them; None where there is nothing to find."""
    ground_truth: Any = COCO()  # its annotations name types that it does not ask for
    ground_truth.dataset = truth
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth.createIndex()
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(records), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR@1", "AR@10", "AR@100", "ARs", "ARm", "ARl")
    return {name: None if value == -1 else value for name, value in zip(names, evaluation.stats, strict=True)}


def _coco_truth(dataset: DetectionDataset) -> dict[str, Any]:
    categories, ids = dataset.categories, count(1)
    return {
        "images": [{"id": id} for id in dataset.ids.tolist()],
        "categories": [{"id": id, "name": name} for id, name in zip(categories.ids, categories.names, strict=True)],
        "annotations": [
            {
                "id": next(ids),
                "image_id": sample.id,
                "category_id": categories.ids[label],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": area,
                "iscrowd": int(ignore),
            }
            for sample in dataset
            for (x1, y1, x2, y2), label, area, ignore in zip(
                sample.boxes.tolist(), sample.labels.tolist(), sample.areas.tolist(), sample.ignore, strict=True
            )
        ],
    }


def _coco_results(found: Found) -> list[dict[str, Any]]:
    # In fp64, in which we score, too: there the difference of two fp32 corners is exact.
    return [record for id, some in found.items() for record in replace(some, boxes=some.boxes.double()).to_coco(id)]


def _crowdhuman(arguments: Arguments) -> dict[str, Rounds]:
    """Seconds of the parts, and of the twin's comparison where there is one."""
    with tempfile.TemporaryDirectory() as folder:
        truth, results = Path(folder) / "truth.odgt", Path(folder) / "found.odgt"
        sizes = {"images": arguments.images, "detections": arguments.crowd_detections}
        write_crowds(truth, results, **sizes, seed=arguments.seed)
        mebibytes = (truth.stat().st_size + results.stat().st_size) / 2**20
        dataset, found = _read(truth, results)
        scores = CrowdHumanEvaluator().evaluate(dataset, found, PERSON)  # and a warm-up
        curve = partial(CrowdHumanEvaluator(with_jaccard_index=False).evaluate, dataset, found, PERSON)
        parts: dict[str, Callable[[], object]] = {
            "reading": lambda: _read(truth, results),
            "AP, mMR, Recall": curve,
            "JI": lambda: jaccard_index(count_pairs(crowd_overlaps(s, found[s.id])) for s in dataset),
        }
        seconds = {"crowdhuman": take_turns(parts, arguments.rounds, warm_up=0)}
    people, regions = int((~dataset.ignore).sum()), int(dataset.ignore.sum())
    print(f"\nCrowdHuman: {len(dataset)} images, {mebibytes:.0f} MiB of odgt, {people} people, {regions} to ignore")
    print(f"{sum(map(len, found.values()))} detections, which score\n{scores.table()}\n")
    for part, times in seconds["crowdhuman"].items():
        print(f"{part:20}{statistics.median(times):9.2f} s ({min(times):.2f} to {max(times):.2f})")
    if arguments.twin_images:
        few = dataset.subset(range(min(arguments.twin_images, len(dataset))))
        seconds["crowdhuman_twin"] = _against_twin(few, found, arguments.rounds)
        print(f"\nall four on {len(few)} of the {len(dataset)} images, by both")
        print(table(seconds["crowdhuman_twin"], "the plain twin"))
    return seconds


def _against_twin(few: DetectionDataset, all_found: Found, rounds: int) -> Rounds:
    found = {sample.id: all_found[sample.id] for sample in few}
    ours = partial(CrowdHumanEvaluator().evaluate, few, found, PERSON)
    scores = ours()
    images = [
        plain.Image(
            size=sample.size,
            objects=sample.boxes[~sample.ignore].tolist(),
            regions=sample.boxes[sample.ignore].tolist(),
            detections=list(zip(found[sample.id].boxes.tolist(), found[sample.id].scores.tolist(), strict=True)),
        )
        for sample in few
    ]

    def by_twin() -> None:
        _require_same(scores.values, plain.scores(images))

    return take_turns({"ours": ours, "the plain twin": by_twin}, rounds, warm_up=0)


def _read(truth: Path, results: Path) -> tuple[DetectionDataset, Found]:
    dataset = read_odgt(truth, split="val", images_needed=False)
    return dataset, read_detections(results, dataset.categories, dataset.ids.tolist())


def _require_same(ours: Mapping[str, float | None], theirs: Mapping[str, float | None]) -> None:
    for name, value in theirs.items():
        own = ours[name]
        same = own is None if value is None else own is not None and abs(own - value) < 1e-9
        assert same, f"{name} is {own} by us and {value} by the other"


if __name__ == "__main__":
    run(main)
