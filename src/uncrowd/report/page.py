"""Writes the report of a run: what was trained on what, how training went, and what the detector finds and misses.

It is one HTML file without links to other files, so it can be opened by double-click, mailed, printed and kept.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.images.file import MAX_PIXELS
from uncrowd.engine.metrics import read_metrics
from uncrowd.evaluation.analysis.errors import FALLBACK_THRESHOLD, analyse_errors
from uncrowd.evaluation.coco import rank_images
from uncrowd.evaluation.operating_points import THRESHOLDS, OperatingCurve, operating_curve
from uncrowd.evaluation.protocol import Scores
from uncrowd.report.errors import error_section
from uncrowd.report.images import COLOURS, best_and_worst
from uncrowd.report.plot import Plot, plot
from uncrowd.structures import Detections, ImageId
from uncrowd.whole_file import whole_file


def write_report(
    folder: Path,
    dataset: DetectionDataset,
    detections: Mapping[ImageId, Detections],
    scores: Scores,
    facts: Mapping[str, str],
    max_pixels: int = MAX_PIXELS,
) -> Path:
    """Writes FOLDER/report.html from the log of the run in FOLDER and its last evaluation, and returns the path.

    detections, scores: those of `dataset`, without a score threshold. facts: name -> text, what was trained on what.
    max_pixels: width times height up to which an image is read.
    Images that cannot be read are left out, and the page says so. Raises InputError if the page cannot be written; an
    earlier page is then unchanged.
    """
    rows = read_metrics(folder / "metrics.jsonl")
    trained = [row for row in rows if row["kind"] == "train"]
    evaluated = [row for row in rows if row["kind"] == "eval"]
    curve = operating_curve(dataset, detections, dataset.categories)
    threshold = curve.best.threshold if curve.best else FALLBACK_THRESHOLD
    ranked = rank_images(dataset, detections, dataset.categories, threshold=threshold)
    found, wrong, missed = (sum(getattr(image, what) for image in ranked) for what in ("found", "wrong", "missed"))
    config = folder / "config.json"
    page = _template().render(
        name=folder.resolve().name,
        dataset=dataset,
        scores=scores,
        history=_history(evaluated, scores.headline),
        best_kept=(folder / "best.safetensors").is_file(),
        facts={**facts, **_course(rows, trained)},
        score_curves=_score_curves(evaluated, scores.headline),
        curves=_training_curves(trained),
        per_class=_per_class(scores, dataset),
        best=curve.best,
        best_count=curve.best_count,
        threshold=threshold,
        threshold_curve=_threshold_curve(curve),
        found=found,
        wrong=wrong,
        missed=missed,
        precision=found / (found + wrong) if found + wrong else None,
        recall=found / (found + missed) if found + missed else None,
        errors=error_section(analyse_errors(dataset, detections, dataset.categories, threshold=threshold)),
        images=best_and_worst(ranked, dataset, detections, threshold, max_pixels),
        colours=COLOURS,
        config=config.read_text(encoding="utf-8") if config.is_file() else None,
    )
    report = folder / "report.html"
    with whole_file(report) as file:
        file.write_text(page, encoding="utf-8", errors="backslashreplace")  # names of files may be no UTF-8
    return report


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "count": _count}
    return environment.get_template("page.html.j2")


def percent(share: float | None, digits: int = 1) -> str:
    """Returns a share from 0 to 1 in percent, without the sign; a dash if it is not defined."""
    return "-" if share is None or not math.isfinite(share) else f"{100 * share:.{digits}f}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _epochs(number: float) -> str:
    return f"{number:.4g} {'epoch' if number == 1 else 'epochs'}"


def _history(evaluated: Sequence[dict[str, Any]], headline: str) -> dict[str, Any] | None:
    """Returns the first, last and best evaluation in which the headline score is defined; None if there is none."""
    defined = [row for row in evaluated if row.get(headline) is not None]
    if not defined:
        return None
    best = max(defined, key=lambda row: row[headline])
    return {"first": defined[0], "last": defined[-1], "best": best}


def _course(rows: Sequence[dict[str, Any]], trained: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Returns facts from the log: how the run began, how long it trained, when, and how fast."""
    begun = next((row for row in rows if row["kind"] == "begin"), {})
    facts = {words: begun[key] for words, key in (("Started from", "start"), ("Command", "command")) if key in begun}
    if trained:
        facts["Trained for"] = f"{_count(trained[-1]['step'], 'step')}, {_epochs(trained[-1]['epoch'])}"
    if losses := _recorded(trained, "loss"):
        facts["Loss"] = f"{losses[0]:.3g} at the first step, {losses[-1]:.3g} at the last"
    if speeds := _recorded(trained, "images_per_second"):
        facts["Speed"] = f"{float(np.median(speeds)):.3g} images a second (median)"
    if times := _recorded(rows, "time"):
        begin, end = (datetime.fromtimestamp(time).astimezone() for time in (min(times), max(times)))
        facts["When"] = f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}, {_duration(max(times) - min(times))}"
    return facts


def _recorded(rows: Sequence[dict[str, Any]], key: str) -> list[float]:
    """Returns the finite values of a column; the log has null for others."""
    return [row[key] for row in rows if row.get(key) is not None and math.isfinite(row[key])]


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    days, hours = minutes // 1440, minutes // 60 % 24
    words = [f"{days} d"] * (days > 0) + [f"{hours} h"] * (hours > 0) + [f"{minutes % 60} min"] * (days == 0)
    return " ".join(words)


def _score_curves(evaluated: Sequence[dict[str, Any]], headline: str) -> list[Plot]:
    names = [
        name
        for name in dict.fromkeys((headline, "AP50", "mMR", "Recall", "JI"))
        if any(name in row for row in evaluated)
    ]
    epochs = [row["epoch"] for row in evaluated]
    series = {name: (epochs, _column(evaluated, name, 100.0)) for name in names}
    return [plot("Scores after each evaluation", series)] if evaluated else []


def _training_curves(trained: Sequence[dict[str, Any]]) -> list[Plot]:
    epochs = [row["epoch"] for row in trained]
    plots: list[tuple[str, dict[str, str], float, bool]] = [
        ("Loss, all stages together", {"loss": "loss"}, 1.0, True),
        ("Loss of the last stage, by part", {"class": "class", "L1": "l1", "GIoU": "giou"}, 1.0, True),
        ("Learning rate", {"learning rate": "learning_rate"}, 1.0, False),
        ("Gradient norm, before clipping", {"norm": "gradient_norm"}, 1.0, True),
        ("Images a second", {"images": "images_per_second"}, 1.0, True),
        ("Time spent waiting for data, in %", {"waiting": "waiting_for_data"}, 100.0, True),
    ]
    return [
        plot(title, {name: (epochs, _column(trained, key, scale)) for name, key in keys.items()}, smooth=smooth)
        for title, keys, scale, smooth in (plots if trained else [])
    ]


def _threshold_curve(curve: OperatingCurve) -> Plot:
    shares = {"precision": curve.precision, "recall": curve.recall, "F1": curve.f1}
    series = {name: (THRESHOLDS, 100 * values) for name, values in shares.items()}
    if curve.best:
        series["suggested"] = (np.array([curve.best.threshold]), np.array([100 * curve.best.f1]))
    return plot("Precision, recall and F1, in %", series, x_label="score threshold")


def _column(rows: Sequence[dict[str, Any]], key: str, scale: float) -> list[float | None]:
    values = [row.get(key) for row in rows]
    return [None if value is None else scale * value for value in values]


def _per_class(scores: Scores, dataset: DetectionDataset) -> list[tuple[str, float | None, int]]:
    """Returns name, AP and number of boxes of each class, best first; an empty list if there is a single class."""
    if len(scores.per_class) < 2:
        return []
    boxes = np.bincount(dataset.labels[~dataset.ignore], minlength=len(dataset.categories)).tolist()
    rows = [(name, ap, number) for (name, ap), number in zip(scores.per_class.items(), boxes, strict=True)]
    return sorted(rows, key=lambda row: (row[1] is None, -(row[1] or 0)))
