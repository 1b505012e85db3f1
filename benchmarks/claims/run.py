"""Runs one line of the queue: trains, scores on the test split, and records the result."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.claims.kept import read_kept, write_kept
from benchmarks.claims.settings import Line
from benchmarks.record import append, commit

import uncrowd
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.results.file import read_detections
from uncrowd.engine.metrics import read_metrics, scores_in
from uncrowd.errors import InputError
from uncrowd.evaluation.analysis.overlapped import overlapped_recall
from uncrowd.evaluation.threshold import operating_curve
from uncrowd.inference.evaluate import detect
from uncrowd.structures import Detections, ImageId

IOUS = (0.5, 0.75)

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where things are kept.

    work: the folder of datasets and runs, which may be large. results: the folder of results.jsonl and of detections/,
    which are committed.
    """

    work: Path = Path("runs/claims")
    results: Path = Path("benchmarks/claims")

    @property
    def lines(self) -> Path:
        """The file with a line of JSON for each finished run."""
        return self.results / "results.jsonl"

    def run(self, line: Line) -> Path:
        """The folder of a run, with its checkpoint."""
        return self.work / "lines" / line.name

    def detections(self, line: Line) -> Path:
        """The file of the detections of a run on the test split."""
        return self.results / "detections" / f"{line.name}.npz"


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

    What is recorded is not run again, and what was stopped goes on. Raises InputError as `uncrowd.train` does.
    """
    if line.name in read_lines(places.lines):
        say(f"{line.name} is done; nothing was changed")
        return True
    code, folder = commit(), places.run(line)
    data = line.dataset.write(places.work / "data")
    if (folder / "config.json").is_file():
        trained = uncrowd.resume(folder, data=data, device=device, say=say)
    else:
        trained = uncrowd.train(data, line.experiment, out=folder, device=device, say=say)
    if not trained.finished:
        return False
    splits = open_dataset(data)
    assert splits.val is not None, "a dataset of the claims has all splits"
    assert splits.test is not None, "a dataset of the claims has all splits"
    predictor = uncrowd.load(trained.weights, device)
    found = detect(predictor, splits.test, batch_size=line.budget.batch).detections
    write_kept(places.detections(line), found)
    results = {
        "name": line.name,
        "commit": code,
        "learning_rate": line.experiment.optim.learning_rate,
        "seconds": _training_seconds(folder, line.budget.batch),
        "evaluations": _evaluations(folder, line.budget.batch),
        "threshold": _threshold(folder, splits.val),
        "test": score(splits.test, read_kept(places.detections(line), splits.test.categories)),
    }
    append(places.lines, "claims", line, results)
    say(f"{line.name} is done: AP50 {results['test']['coco']['AP50']:.3f} on {len(splits.test)} test images")
    return True


def rehearse(line: Line, places: Places, *, device: str | None = None, say: Say = print) -> None:
    """Says what the training of a line would take; only its dataset is written."""
    data = line.dataset.write(places.work / "data")
    uncrowd.train(data, line.experiment, device=device, dry_run=True, say=say)


def score(dataset: DetectionDataset, found: dict[ImageId, Detections]) -> dict[str, Any]:
    """Returns the scores of detections of a test split by COCO, by CrowdHuman where there is one class, and ours.

    For a line they are computed from the kept detections, so that everybody can compute them again.
    """
    scores: dict[str, Any] = {"coco": uncrowd.evaluate(found, dataset, protocol="coco").values}
    if len(dataset.categories) == 1:
        scores["crowdhuman"] = uncrowd.evaluate(found, dataset, protocol="crowdhuman").values
    overlapped = [overlapped_recall(dataset, found, iou=iou) for iou in IOUS]
    scores["overlapped"] = [asdict(each) | {"recall": each.recall} for each in overlapped]
    return scores


def _evaluations(folder: Path, batch: int) -> list[dict[str, Any]]:
    """Returns the scores on the validation split after each evaluation, with the number of images seen until then."""
    rows = [row for row in read_metrics(folder / "metrics.jsonl") if row["kind"] == "eval"]
    return [{"images": row["step"] * batch, **scores_in(row)} for row in rows]


def _training_seconds(folder: Path, batch: int) -> float:
    """Returns the seconds that all steps took, from the speed in each row of the log; evaluations do not count.

    The log keeps each row once, so the sum is that of one training, however often it was stopped.
    """
    seconds, before = 0.0, 0
    for row in read_metrics(folder / "metrics.jsonl"):
        if row["kind"] == "train":
            seconds += (row["step"] - before) * batch / row["images_per_second"]
            before = row["step"]
    return seconds


def _threshold(folder: Path, val: DetectionDataset) -> float | None:
    """Returns the score threshold with the best F1 on the validation split after the last step."""
    found = read_detections(folder / "detections.json", val.categories, val.ids.tolist())
    best = operating_curve(val, found, val.categories).best
    return best.threshold if best is not None else None
