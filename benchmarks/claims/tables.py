"""The tables of the claims in Markdown: what was scored, the effects, learning speed, and others beside ours."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from benchmarks.claims.effects import (
    BASELINE,
    CORNERS,
    EFFECTS,
    FULL,
    IN_WORDS,
    YARDSTICK,
    PaperEffect,
    paper_difference,
    paper_effect,
    weights,
)
from benchmarks.claims.learning import ap_at, curve, share_of_images
from benchmarks.claims.resampled import CROWDED
from benchmarks.claims.study import WEAK, Estimate, Record, Study

from uncrowd.words import counted

# Scores in objects; all others are shares and shown in percent.
IN_OBJECTS = ("count MAE", "count bias")
SCORES = (
    "AP",
    "AP50",
    "AP75",
    "crowd AP",
    "mMR",
    "JI",
    "Recall",
    "found at 0.5",
    "found at 0.75",
    "duplicates at 0.5",
    "count total",
    *IN_OBJECTS,
)
WORDS = {
    "crowd AP": "CrowdHuman AP",
    "mMR": "mMR (lower is better)",
    "found at 0.5": "overlapped > .5 found, IoU .5",
    "found at 0.75": "overlapped > .5 found, IoU .75",
    "duplicates at 0.5": "duplicates for 100 objects",
    "count total": "counting error for 100 objects",
    "count MAE": "counting error, objects",
    "count bias": "counting bias, objects",
}
INTERVALS = ("none", "to .3", "to .5", "to .7", "above .7")
# With fewer objects than this, no share of them is shown, and nothing is claimed.
FEW_OBJECTS = 100
NOT_YET = "*Not yet run.*"


def scores_table(study: Study) -> str:
    """Returns the mean of each score over the seeds of each detector."""
    head = ["score", *(f"{called(name)} ({counted(len(runs), 'seed')})" for name, runs in study.records.items())]
    rows = [
        [words(score), *(cell(score, mean_score(study, detector, score)) for detector in study.records)]
        for score in SCORES
    ]
    return f"{markdown(head, rows)}\n\n{from_lines(study, study.records)}"


def mean_score(study: Study, detector: str, score: str) -> float:
    """Returns the mean of a score over all seeds of a detector; NaN where it is not defined."""
    return _mean(values[score][0] for values in study.resampled[detector].values() if score in values)


def overlapped_table(study: Study) -> str:
    """Returns the recall by an object's largest IoU with another, as means over seeds, and duplicates."""
    rows = []
    objects: Sequence[int] = ()
    for detector, runs in study.records.items():
        for scores in zip(*(record["test"]["overlapped"] for record in runs.values()), strict=True):
            objects = scores[0]["objects"]
            cells = [_share(_mean(each["found"][i] for each in scores), many) for i, many in enumerate(objects)]
            duplicates = _mean(sum(each["duplicates"]) for each in scores) / max(sum(objects), 1)
            rows.append([called(detector), f"{scores[0]['iou']:g}", *cells, f"{100 * duplicates:.1f}"])
    head = [f"{interval} ({many})" for interval, many in zip(INTERVALS, objects, strict=False)]
    return markdown(["detector", "IoU", *head, "duplicates for 100 objects"], rows)


def has_few_overlapped(objects: Sequence[int]) -> bool:
    """Whether fewer than 100 objects overlap another by more than .5; objects: their number in each interval."""
    return sum(objects[CROWDED]) < FEW_OBJECTS


def overlapped_found(scores: Mapping[str, Any]) -> float:
    """Returns the share found of the objects that overlap another by more than .5; NaN if they are few.

    scores: a record of `OverlappedRecall`.
    """
    if has_few_overlapped(scores["objects"]):
        return np.nan
    return sum(scores["found"][CROWDED]) / sum(scores["objects"][CROWDED])


def _share(found: float, objects: int) -> str:
    return f"{100 * found / objects:.1f}" if objects >= FEW_OBJECTS else f"{found:.3g} of {objects}"


def effects_table(study: Study) -> str:
    """Returns the effects of the two modules with their intervals, each beside that of the paper."""
    if not study.seeds([BASELINE, FULL]):
        missing = [called(each) for each in (BASELINE, FULL) if each not in study.records]
        return f"*Not yet run: {', '.join(missing) or 'no seed of both detectors'}.*"
    if study.is_weak(BASELINE, [FULL]):
        return too_weak(study)
    head = ["score", *(column for effect in EFFECTS for column in (effect, "paper"))]
    rows = []
    for score in SCORES:
        estimates = [study.contrast(weights(effect), score) for effect in EFFECTS]
        if any(estimates):
            cells = [
                cell
                for effect, estimate in zip(EFFECTS, estimates, strict=True)
                for cell in (difference(score, estimate), _printed(paper_effect(effect, score)))
            ]
            rows.append([words(score), *cells])
    lines = from_lines(study, [each for each in CORNERS if each in study.records])
    counts = "An effect counts the seeds that all detectors have that it compares."
    resamples = f"{study.resamples:,} resamples of seeds and images. {counts}"
    return f"{markdown(head, rows)}\n\n{lines} {resamples}{_other_modules(study)}"


def _other_modules(study: Study) -> str:
    """Returns the differences of our other detectors from Sparse R-CNN, beside those of the paper."""
    others = [each for each in study.ours if each not in CORNERS and study.seeds([each, BASELINE])]
    rows = [
        [
            called(detector),
            *(
                cell
                for score in _ABLATED
                for cell in (
                    difference(score, study.contrast({detector: 1, BASELINE: -1}, score)),
                    _printed(paper_difference(detector.removeprefix(f"{YARDSTICK}-"), score)),
                )
            ),
        ]
        for detector in others
    ]
    head = ["minus Sparse R-CNN", *(column for score in _ABLATED for column in (words(score), "paper"))]
    return f"\n\n{markdown(head, rows)}\n\n{from_lines(study, others)}" if others else ""


_ABLATED = ("AP", "crowd AP", "mMR", "Recall")


def too_weak(study: Study) -> str:
    """Returns the sentence that stands where a comparison does not count."""
    ap50 = mean_score(study, BASELINE, "AP50")
    return f"*Baseline too weak, no claim: its AP50 is {100 * ap50:.1f}, below {100 * WEAK:.0f}.*"


def _printed(printed: PaperEffect | None) -> str:
    return "" if printed is None else f"{printed.value:+.3g}"


def learning_table(study: Study, seconds: Mapping[str, float]) -> str:
    """Returns how soon each detector reaches the baseline's last AP on the validation split.

    seconds: those of a training step, as a multiple of the baseline's.
    """
    if BASELINE not in study.records:
        return NOT_YET
    if study.is_weak(BASELINE, ()):
        return too_weak(study)
    rows = []
    for detector in study.trained_here:
        share = share_of_images(study, detector, BASELINE)
        if share is not None:
            seeds = study.seeds([detector, BASELINE])
            images, ap = curve([study.records[detector][seed] for seed in seeds])
            last, factor = ap[:, -1].mean(), seconds.get(detector)
            cells = ["", ""]
            if factor is not None:
                cells = [
                    f"{factor:.2f}",
                    f"{100 * ap_at(float(images[-1]) / factor, images, ap.mean(axis=0)):.1f}",
                ]
            times = _times(share, len(seeds))
            rows.append([called(detector), str(len(seeds)), f"{100 * last:.1f}", times, *cells])
    head = [
        "detector",
        "seeds",
        "last AP, validation",
        "images to the baseline's last AP, as a share of its own",
        "seconds a step, as a multiple of the baseline's",
        "AP after the baseline's seconds",
    ]
    return f"{markdown(head, rows)}\n\n{from_lines(study, study.trained_here)}"


def _times(share: Estimate, seeds: int) -> str:
    value, lower, upper = ("not reached" if math.isinf(each) else f"{each:.2f}" for each in share)
    return f"{value} ({lower} to {upper})" if seeds > 1 else value


def peers_table(study: Study) -> str:
    """Returns ours beside the detectors of others, each with the output that validation chose and with the others."""
    if not study.peers:
        return "*Not yet run: no line of another detector is recorded.*"
    rows = []
    for detector, runs in study.records.items():
        records = list(runs.values())
        rows.append([called(detector), _seeds(runs), *_beside(study, detector), _step_seconds(records)])
        for name in dict.fromkeys(name for record in records for name in record.get("other_outputs", {})):
            tests = [
                record["other_outputs"][name]["test"] for record in records if name in record.get("other_outputs", {})
            ]
            rows.append([f"{called(detector)}, {name}", str(len(tests)), *_other(tests), ""])
    head = ["detector", "seeds", *map(words, _BESIDE), "seconds a step, as it ran"]
    missing = "" if BASELINE in study.records else f"\n\n*{called(BASELINE)} is not yet run here.*"
    return f"{markdown(head, rows)}{missing}\n\n{from_lines(study, study.records)}"


_BESIDE = ("AP", "AP50", "AP75", "found at 0.5", "found at 0.75", "duplicates at 0.5", "count total")


def _beside(study: Study, detector: str) -> list[str]:
    return [cell(score, mean_score(study, detector, score)) for score in _BESIDE]


def _other(tests: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the same cells from recorded scores; counts were not recorded for these."""
    coco = [cell(score, _mean(test["coco"][score] for test in tests)) for score in _BESIDE[:3]]
    overlapped = [[each for test in tests for each in test["overlapped"] if each["iou"] == iou] for iou in (0.5, 0.75)]
    found = [_mean(map(overlapped_found, many)) for many in overlapped]
    duplicates = _mean(sum(each["duplicates"]) / max(sum(each["objects"]), 1) for each in overlapped[0])
    return [*coco, *(cell("", value) for value in (*found, duplicates)), ""]


def _step_seconds(records: Sequence[Record]) -> str:
    return f"{statistics.median(record['seconds'] / record['budget']['steps'] for record in records):.2f}"


def lines_table(names: Sequence[str], records: Mapping[str, Record]) -> str:
    """Returns the lines that are done, and then the names of those that are not, in the order of the queue."""
    rows: list[list[str]] = []
    missing: dict[str, list[str]] = {}
    for name in names:
        if name not in records:
            row, _, last = name.rpartition("_")
            missing.setdefault(row, []).append(last)
            continue
        record = records[name]
        ap = [_percent(record["evaluations"][-1]["AP"]), ""]
        if "test" in record:
            ap[1] = _percent(record["test"]["coco"]["AP"])
        rows.append([f"`{name}`", *ap, f"{record['seconds'] / 60:.0f}", f"`{record['commit']}`", record["machine"]])
    head = ["line", "last AP, validation", "AP, test", "minutes of training", "commit", "machine"]
    table = f"\n\n{markdown(head, rows)}" if rows else ""
    left = "".join(f"\n- `{row}_` {', '.join(last)}" for row, last in missing.items())
    left = f"\n\nNot yet run:\n{left}" if left else ""
    return f"{len(rows)} of {counted(len(names), 'line')} done.{table}{left}"


def from_lines(study: Study, detectors: Iterable[str]) -> str:
    """Returns the lines that a table comes from."""
    parts = []
    for detector in detectors:
        seeds = ", ".join(map(str, sorted(study.records[detector])))
        parts.append(f"`{study.dataset}_{detector}_{study.budget}_` {seeds}")
    return f"From the lines {'; '.join(parts)}."


def difference(score: str, estimate: Estimate | None) -> str:
    """Returns an effect and its interval, such as "+1.2 (+0.3 to +2.1)"."""
    if estimate is None:
        return "-"
    value, lower, upper = (number(score, each, sign="+") for each in estimate)
    return f"{value} ({lower} to {upper})"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table; raises no error for cells, which hold no bars."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def called(detector: str) -> str:
    """Returns what a detector is called in the tables."""
    return IN_WORDS.get(detector, detector)


def _seeds(runs: Mapping[int, object]) -> str:
    return str(len(runs))


def words(score: str) -> str:
    """Returns what a score is called in the tables."""
    return WORDS.get(score, score)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def cell(score: str, value: float) -> str:
    """Returns a score in objects or in percent, or a dash where it is not defined."""
    return "-" if np.isnan(value) else number(score, value)


def number(score: str, value: float, sign: str = "") -> str:
    """Returns a score in objects or in percent."""
    return f"{value:{sign}.2f}" if score in IN_OBJECTS else f"{100 * value:{sign}.1f}"


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else np.nan
