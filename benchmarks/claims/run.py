"""Runs one line of the queue: trains, scores on the test split, and records the result."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.claims.kept import read_kept, write_kept
from benchmarks.claims.overlapped import overlapped_recall
from benchmarks.claims.rates import with_chosen_rate
from benchmarks.claims.settings import Dataset, Found, Line, Output, Say, Training, most_kept
from benchmarks.record import append, commit

import uncrowd
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.errors import InputError
from uncrowd.evaluation.coco import COCO_LIMITS
from uncrowd.evaluation.operating_points import operating_curve

IOUS = (0.5, 0.75)


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where things are kept.

    work: the folder of datasets and runs, which may be large. results: the folder of results.jsonl and of detections/,
    which are committed. real: the folder that has real datasets by name, such as nuclei and bccd.
    """

    work: Path = Path("runs/claims")
    results: Path = Path("benchmarks/claims")
    real: Path | None = None

    @property
    def lines(self) -> Path:
        """The file with a line of JSON for each finished run."""
        return self.results / "results.jsonl"

    def run(self, line: Line) -> Path:
        """The folder of a run, with its checkpoint; lines that train the same detector share it."""
        return self.work / "lines" / line.trains.name

    def detections(self, line: Line, output: str | None = None) -> Path:
        """The file of the detections of a run on the test split; output: one that validation did not choose."""
        return self.results / "detections" / f"{line.name}{'' if output is None else f'_{output}'}.npz"


def read_lines(file: Path) -> dict[str, dict[str, Any]]:
    """Returns the recorded lines by name. Raises InputError for a line that cannot be read."""
    lines: dict[str, dict[str, Any]] = {}
    for number, text in enumerate(file.read_text(encoding="utf-8").splitlines() if file.is_file() else [], start=1):
        try:
            line = json.loads(text)
            lines[line["name"]] = line
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file}: line {number} is no result of a run ({error}); remove it.") from error
    return lines


def run_line(line: Line, places: Places, *, device: str | None = None, say: Say = print) -> bool:
    """Runs a line to its end and records it; returns False if SIGTERM or Ctrl-C stopped it.

    What is recorded is not run again, and what was stopped goes on. Raises InputError as the detector's `train` does.
    """
    recorded = read_lines(places.lines)
    if line.name in recorded:
        say(f"{line.name} is done; nothing was changed")
        return True
    code, detector = commit(), with_chosen_rate(line, recorded)
    data = line.trains.dataset.write(places.work / "data", places.real)
    splits = open_dataset(data)
    assert splits.train is not None, "a dataset of the claims has all splits"
    assert splits.val is not None, "a dataset of the claims has all splits"
    test = open_dataset(line.dataset.write(places.work / "data", places.real)).test
    assert test is not None, "a dataset of the claims has all splits"
    training = Training(
        dataset=line.trains.dataset,
        budget=line.budget,
        seed=line.seed,
        data=data,
        train=splits.train,
        val=splits.val,
        folder=places.run(line),
        device=device,
        say=say,
        asked=None if line.trained_on is None else line.dataset,
    )
    trained = detector.train(training)
    if trained is None:
        return False
    results = {
        "name": line.name,
        "commit": code,
        "learning_rate": detector.learning_rate,
        "seconds": trained.seconds,
        "evaluations": trained.evaluations,
    }
    if line.rate is None:
        results |= _outputs(trained.outputs, line, splits.val, test, places)
    append(places.lines, "claims", line, results)
    say(f"{line.name} is done: {summary(results)}")
    return True


def summary(record: Mapping[str, Any]) -> str:
    """Returns the score of a recorded line in words."""
    if "test" in record:
        return f"AP50 {record['test']['coco']['AP50']:.3f}"
    return f"AP {record['evaluations'][-1]['AP']:.3f} on validation"


def _outputs(
    outputs: Sequence[Output], line: Line, val: DetectionDataset, test: DetectionDataset, places: Places
) -> dict[str, Any]:
    """Returns the scores on the test split of the output that is best on the validation split, and of the others."""
    chosen, *others = _best_first(outputs, val)
    return {
        "output": chosen.name,
        "threshold": _threshold(chosen, val),
        "test": _test(chosen, test, places.detections(line), line.dataset),
        "other_outputs": {
            output.name: {
                "threshold": _threshold(output, val),
                "test": _test(output, test, places.detections(line, output.name), line.dataset),
            }
            for output in others
        },
    }


def _best_first(outputs: Sequence[Output], val: DetectionDataset) -> list[Output]:
    """Returns the outputs in the order of their AP on the validation split."""
    if len(outputs) == 1:
        return list(outputs)
    return sorted(outputs, key=lambda output: -(uncrowd.evaluate(output.val, val, protocol="coco").main or 0))


def _test(output: Output, test: DetectionDataset, file: Path, dataset: Dataset) -> dict[str, Any]:
    """Returns the scores on the test split of the detections that are kept in the file."""
    write_kept(file, output.detect(test), best=most_kept(dataset))
    return score(test, read_kept(file, test.categories))


def score(dataset: DetectionDataset, found: Found) -> dict[str, Any]:
    """Returns the scores of detections of a test split by COCO, by CrowdHuman where there is one class, and ours.

    fullest: those by CrowdHuman on the images with more objects than the detections that COCO counts.
    For a line they are computed from the kept detections, so that everybody can compute them again.
    """
    scores: dict[str, Any] = {"coco": uncrowd.evaluate(found, dataset, protocol="coco").values}
    if len(dataset.categories) == 1:
        scores["crowdhuman"] = uncrowd.evaluate(found, dataset, protocol="crowdhuman").values
        fullest = dataset.subset(np.flatnonzero(dataset.counts > COCO_LIMITS[-1]))
        if len(fullest):
            of_them = {id: found[id] for id in fullest.ids.tolist()}
            scores["fullest"] = uncrowd.evaluate(of_them, fullest, protocol="crowdhuman").values
    overlapped = [overlapped_recall(dataset, found, iou=iou) for iou in IOUS]
    scores["overlapped"] = [asdict(each) | {"recall": each.recall} for each in overlapped]
    return scores


def _threshold(output: Output, val: DetectionDataset) -> float | None:
    """Returns the score threshold with the best F1 on the validation split after the last step."""
    best = operating_curve(val, output.val, val.categories).best
    return best.threshold if best is not None else None
