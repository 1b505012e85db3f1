"""Times the scoring of detections: `python -m benchmarks.scoring` from the project's root.

The boxes are made up. In every round all implementations score the same boxes, and they must compute the same numbers.

COCO's scores are timed from data in memory to numbers. Ours starts from samples and detections, as a dataset and a
predictor hold them, and its time includes handing them to hotcoco. pycocotools starts from records that were made for
it beforehand, and its time includes indexing them (`createIndex`, `loadRes`). No maintained package computes
CrowdHuman's scores. Reading both odgt files, the scores AP, mMR and Recall, and JI are timed apart. Then all four
scores, without reading, are compared with the plain twin of the tests on the same images.
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
    """Compare the speed of COCO's and CrowdHuman's scores with other implementations, on made-up boxes."""

    # The scores to time.
    protocols: tuple[ScoreProtocol, ...] = ("coco", "crowdhuman")
    # Images of each dataset. COCO's val2017 has 5000, CrowdHuman's validation split 4370.
    images: int = 5000
    # Detections per image of COCO.
    coco_detections: int = 100
    # Detections per image of CrowdHuman.
    crowd_detections: int = 500
    # Number of CrowdHuman's images that the plain twin scores too, at about 20 per second; 0 leaves it out.
    twin_images: int = 100
    # Rounds. In each, pycocotools takes about a minute for 5000 images.
    rounds: int = 3
    # Seed of the made-up boxes.
    seed: int = 0
    # Also append the result as a line of JSON to this file.
    append: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None

    def __post_init__(self) -> None:
        """Raises InputError when there is nothing to time, or the file to append to cannot be written."""
        detections = {"--coco-detections": self.coco_detections, "--crowd-detections": self.crowd_detections}
        require_at_least(1, **{"--images": self.images, "--rounds": self.rounds}, **detections)
        if not self.protocols:
            raise InputError("--protocols is empty; there is nothing to score.")
        require_at_least(0, **{"--twin-images": self.twin_images, "--seed": self.seed})
        require_appendable(self.append)  # last, because it creates the file


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
    scores = ours()  # also the warm-up, which pycocotools does not need
    truth, records = _coco_truth(dataset), _coco_results(found)

    def theirs() -> None:
        _require_same(scores.values, _pycocotools(truth, records))

    rounds = take_turns({"ours": ours, "pycocotools": theirs}, arguments.rounds, warm_up=0)
    print(f"\nCOCO: {len(dataset)} images, {len(dataset.boxes)} objects, {len(records)} detections, which score")
    print(f"{replace(scores, per_class={}).table()}\n\n{table(rounds, 'pycocotools')}")
    return rounds


def _pycocotools(truth: dict[str, Any], records: list[dict[str, Any]]) -> dict[str, float | None]:
    """Returns COCO's twelve scores under our names, computed from records in memory; None if there are no objects."""
    ground_truth: Any = COCO()  # its type hints are narrower than what it accepts
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
    # In fp64, in which ours scores too, the difference of two fp32 corners is exact.
    return [record for id, some in found.items() for record in replace(some, boxes=some.boxes.double()).to_coco(id)]


def _crowdhuman(arguments: Arguments) -> dict[str, Rounds]:
    """Returns the seconds of each part, and those of the comparison with the twin if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        truth, results = Path(folder) / "truth.odgt", Path(folder) / "found.odgt"
        sizes = {"images": arguments.images, "detections": arguments.crowd_detections}
        write_crowds(truth, results, **sizes, seed=arguments.seed)
        mebibytes = (truth.stat().st_size + results.stat().st_size) / 2**20
        dataset, found = _read(truth, results)
        scores = CrowdHumanEvaluator().evaluate(dataset, found, PERSON)  # also the warm-up
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
        assert same, f"{name} is {own} by ours and {value} by the other"


if __name__ == "__main__":
    run(main)
