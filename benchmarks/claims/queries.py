"""The tables of the page on queries from the image: how they learn, and what decides if they become the default."""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from benchmarks.claims.effects import BASELINE, FULL
from benchmarks.claims.learning import ap_at, curve, images_to_reach
from benchmarks.claims.lines import PEERS, ZERO
from benchmarks.claims.speed import step_factors
from benchmarks.claims.study import Record
from benchmarks.claims.tables import NOT_YET, called, markdown, overlapped_found

from benchmarks.claims import dense

DENSE, ALONE, LEARNED = dense.DENSE.name, dense.ALONE.name, dense.LEARNED.name
# Dense and learned queries with the paper's target of one.
TO_ONE, LEARNED_TO_ONE = dense.DENSE_TO_ONE.name, ZERO[-1].name
# The detector whose steps are compared with the yardstick's: as many points compete for its queries as in the recipe.
TIMED = dense.DENSE_FEW_COMPETE.name
PASTED, PASTED_OWN, FASTER_RCNN = dense.DENSE_PASTE.name, dense.DENSE_PASTE_OWN.name, PEERS[0].name
# Dense queries, and what is compared with them; most differ from them in one thing.
CHANGED = [
    *(each.name for each in (dense.DENSE, dense.LEARNED, dense.BESIDE, dense.ALONE, dense.DENSE_ENTANGLED)),
    *(each.name for each in dense.CHOICES),
]
# The head of a column.
FOUND_HEAD = "overlapped > .5 found"
# The recorded lines of a row by seed; a row is DATASET_DETECTOR_BUDGET.
Rows = Mapping[str, Mapping[int, Record]]


def learning_of_queries(records: Mapping[str, Record]) -> str:
    """Returns how each detector of the drawn crowds learns, over the seeds that dense queries were run with too."""
    rows = _by_row(records)
    seeds = rows.get(f"drawn-0.5_{DENSE}_short", {}).keys()
    cells, names, images = [], [], []
    for detector in _compared(rows):
        runs = {seed: rows[f"drawn-0.5_{detector}_short"][seed] for seed in seeds}
        images, ap = curve(list(runs.values()))
        tests = [_mean(runs.values(), partial(_score, name)) for name in ("AP", "AP50", "AP75", "JI", "found")]
        cells.append([called(detector), *(f"{100 * each:.1f}" for each in (*ap.mean(axis=0), *tests))])
        names.append(f"`drawn-0.5_{detector}_short_`")
    if not cells:
        return NOT_YET
    head = ["detector", *(f"{each:,}" for each in images), "test AP", "AP50", "AP75", "JI", FOUND_HEAD]
    return (
        f"{markdown(head, cells)}\n\nFrom the lines {', '.join(names)} with seed {', '.join(map(str, sorted(seeds)))}."
    )


def _compared(rows: Rows) -> list[str]:
    """Returns the detectors with all seeds of the dense queries, those with learned ones first."""
    seeds = rows.get(f"drawn-0.5_{DENSE}_short", {}).keys()
    parts = [row.split("_") for row, runs in rows.items() if seeds and seeds <= runs.keys()]
    here = [detector for dataset, detector, budget in parts if (dataset, budget) == ("drawn-0.5", "short")]
    return [
        *(each for each in (BASELINE, FULL, LEARNED_TO_ONE) if each in here),
        *(each for each in here if each.startswith("dense-")),
    ]


def changes_table(records: Mapping[str, Record]) -> str:
    """Returns the scores of each change on the drawn crowds and, in brackets, how much higher than without it.

    Both are means over the seeds that were run with it and without it.
    """
    shown = {"validation AP": "validation AP", "test AP": "AP", "AP75": "AP75", "JI": "JI", FOUND_HEAD: "found"}
    return _changes(records, shown)


def lowered_changes_table(records: Mapping[str, Record]) -> str:
    """Returns the same with duplicates lowered, of lines that have these scores; see `with_lowered`."""
    shown = {"test AP": "AP", "AP75": "AP75", "JI": "JI", FOUND_HEAD: "found at 0.5"}
    return _changes(records, {head: f"lowered {name}" for head, name in shown.items()})


def with_lowered(records: Mapping[str, Record], scored: Callable[[str], Mapping[str, float]]) -> dict[str, Record]:
    """Returns the lines; those of changes on the drawn crowds have what `scored` gives for their name as "lowered"."""
    rows = {f"{_CROWDED}_{detector}_short" for detector in CHANGED}
    return {
        name: {**record, "lowered": scored(name)} if name.rpartition("_")[0] in rows else record
        for name, record in records.items()
    }


def _changes(records: Mapping[str, Record], shown: Mapping[str, str]) -> str:
    """Returns a row for each change that was run. shown: the names of scores by their heads."""
    rows, cells = _by_row(records), []
    without = rows.get(f"{_CROWDED}_{DENSE}_short", {})
    for detector in CHANGED:
        with_it = rows.get(f"{_CROWDED}_{detector}_short", {})
        seeds = sorted(without.keys() & with_it.keys())
        if not seeds:
            continue
        cells.append([f"`{detector}`", ", ".join(map(str, seeds))])
        for name in shown.values():
            ours, theirs = (_mean([runs[seed] for seed in seeds], partial(_score, name)) for runs in (with_it, without))
            cells[-1].append(f"{100 * ours:.1f} ({100 * (ours - theirs):+.1f})")
    return markdown(["detector", "seeds", *shown], cells) if cells else NOT_YET


class Question(NamedTuple):
    """What has to hold for dense queries to become the default, as one number over the seeds that both detectors have.

    measure: of the lines of ours and theirs, seed by seed in the same order.
    """

    words: str
    dataset: str
    ours: str
    theirs: str
    measure: Callable[[Sequence[Record], Sequence[Record]], float]
    wanted: Literal["at most", "at least"]
    bound: float
    budget: str = "short"

    @property
    def rows(self) -> tuple[str, str]:
        """The rows of ours and of theirs."""
        return f"{self.dataset}_{self.ours}_{self.budget}", f"{self.dataset}_{self.theirs}_{self.budget}"


def decision_table(records: Mapping[str, Record], names: Sequence[str], speed: Mapping[str, Any] | None) -> str:
    """Returns a row for each question, with the lines that answer it. names: of the lines of the queue."""
    rows, planned = _by_row(records), _by_row({name: {} for name in names})
    cells = []
    for question in QUESTIONS:
        both, wanted = (_common(each, question) for each in (rows, planned))
        measured = None
        if both:
            lines = ([rows[row][seed] for seed in both] for row in question.rows)
            measured = question.measure(*lines)
        compared = " with ".join(f"`{row}_`" for row in question.rows)
        cells.append([question.words, *_judged(question.wanted, question.bound, measured, len(both) < len(wanted))])
        cells[-1] += [f"{len(both)} of {len(wanted)}", compared]
    factors = step_factors(speed)
    step = factors[TIMED] / factors[FULL] if {TIMED, FULL} <= factors.keys() else None
    words = "seconds of a training step, times the yardstick's"
    cells.append([words, *_judged("at most", 1.0, step, False), "", "`python -m benchmarks.claims speed`"])
    cells += _over_seconds(rows, planned, step)
    return markdown(["question", "wanted", "measured", "answer", "seeds", "lines"], cells)


def _over_seconds(rows: Rows, planned: Rows, step: float | None) -> list[list[str]]:
    """Returns the rows that compare seconds of training: images times what a step takes on one machine.

    step: the seconds of a step, as a multiple of the yardstick's. Lines themselves were run on several machines.
    """
    ours, theirs = (f"{_CROWDED}_{detector}_short" for detector in (TIMED, FULL))
    both, wanted = (sorted(each.get(ours, {}).keys() & each.get(theirs, {}).keys()) for each in (rows, planned))
    share = times = None
    if both and step is not None:
        (images, ap), (_, other) = (curve([rows[row][seed] for seed in both]) for row in (ours, theirs))
        mean, target = ap.mean(axis=0), other[:, -1].mean()
        share = 100 * step * images_to_reach(target, images, mean) / images[-1]
        times = ap_at(images[-1] / step, images, mean) / target
    end = [f"{len(both)} of {len(wanted)}", f"`{ours}_` with `{theirs}_`, times the seconds of a step"]
    more = len(both) < len(wanted)
    return [
        ["seconds to the yardstick's last AP, %", *_judged("at most", 60, share, more), *end],
        ["AP after the same seconds, times the yardstick's", *_judged("at least", 1.2, times, more), *end],
    ]


def _judged(wanted: str, bound: float, measured: float | None, more: bool) -> list[str]:
    """Returns the cells of what is wanted, of what was measured, and whether that holds. more: seeds are to come."""
    if measured is None:
        return [f"{wanted} {bound:g}", "", "open"]
    holds = (operator.le if wanted == "at most" else operator.ge)(measured, bound)
    verdict = f"{'holds' if holds else 'does not hold'}{' so far' * more}"
    return [f"{wanted} {bound:g}", "never" if math.isinf(measured) else f"{measured:.2f}", verdict]


def _common(rows: Rows, question: Question) -> list[int]:
    """Returns the seeds that both rows have."""
    ours, theirs = (rows.get(row, {}).keys() for row in question.rows)
    return sorted(ours & theirs)


def _by_row(records: Mapping[str, Record]) -> dict[str, dict[int, Record]]:
    """Returns the lines by row and seed, without those that try a learning rate."""
    rows: dict[str, dict[int, Record]] = {}
    for name, record in records.items():
        row, _, seed = name.rpartition("_")
        if row.count("_") == 2:
            rows.setdefault(row, {})[int(seed)] = record
    return rows


def _score(name: str, record: Record) -> float:
    """Returns a score between 0 and 1, on the test split where nothing else is said.

    found: of the objects that overlap another by more than .5.
    """
    test = record["test"]
    if name == "validation AP":
        return record["evaluations"][-1]["AP"]
    if name.startswith("lowered "):
        return record["lowered"][name.removeprefix("lowered ")]
    if name == "found":
        return overlapped_found(test["overlapped"][0])
    if name == "crowd AP":
        return test["crowdhuman"]["AP"]
    if name == "AP of the fullest":
        return test["fullest"]["AP"]
    return test["crowdhuman"][name] if name in ("JI", "Recall") else test["coco"][name]


def _mean(records: Iterable[Record], score: Callable[[Record], float]) -> float:
    values = [score(record) for record in records]
    return sum(values) / len(values)


def _share_of_images(ours: Sequence[Record], theirs: Sequence[Record]) -> float:
    """Returns, in percent, after which share of the images the mean of ours reaches the last AP of theirs."""
    (images, ap), (_, other) = curve(ours), curve(theirs)
    return 100 * images_to_reach(other[:, -1].mean(), images, ap.mean(axis=0)) / images[-1]


def _times(ours: Sequence[Record], theirs: Sequence[Record]) -> float:
    ap = partial(_score, "AP")
    return _mean(ours, ap) / _mean(theirs, ap)


def _points(name: str, ours: Sequence[Record], theirs: Sequence[Record]) -> float:
    """Returns by how many points a score of ours is higher."""
    return 100 * (_mean(ours, partial(_score, name)) - _mean(theirs, partial(_score, name)))


_CROWDED, _LARGE, _COMPOSED, _NUCLEI = "drawn-0.5", "drawn-large-0.5", "nuclei-composed-0.85", "nuclei"
_ASKED, _PLAIN = f"{DENSE}-from-{_CROWDED}", f"{DENSE}-from-{_NUCLEI}"
_PASTED, _PASTED_OWN = f"{PASTED}-from-{_NUCLEI}", f"{PASTED_OWN}-from-{_NUCLEI}"
_AP, _FOUND, _RECALL = (partial(_points, name) for name in ("AP", "found", "Recall"))
_LOWERED_AP, _LOWERED_FOUND = (partial(_points, f"lowered {name}") for name in ("AP", "found at 0.5"))
# CrowdHuman's AP, which counts all detections: COCO's stops at 100 of an image.
_CROWD, _FULLEST = (partial(_points, name) for name in ("crowd AP", "AP of the fullest"))
QUESTIONS = [
    Question("images to the yardstick's last AP, %", _CROWDED, DENSE, FULL, _share_of_images, "at most", 40),
    Question("AP after the same images, times the yardstick's", _CROWDED, DENSE, FULL, _times, "at least", 1.4),
    Question(
        "AP more than learned queries, both with the target of one",
        _CROWDED,
        TO_ONE,
        LEARNED_TO_ONE,
        _AP,
        "at least",
        0,
    ),
    Question("the same: overlapped > .5 found", _CROWDED, TO_ONE, LEARNED_TO_ONE, _FOUND, "at least", 0),
    Question("AP more than learned queries, both with quality", _CROWDED, DENSE, LEARNED, _AP, "at least", 0),
    Question("the same: overlapped > .5 found", _CROWDED, DENSE, LEARNED, _FOUND, "at least", 0),
    Question("AP more than with the target of one", _CROWDED, DENSE, TO_ONE, _AP, "at least", 0),
    Question("the same: overlapped > .5 found", _CROWDED, DENSE, TO_ONE, _FOUND, "at least", 0),
    Question("AP after the long budget, points more", _CROWDED, DENSE, FULL, _AP, "at least", 0, "long"),
    Question("BCCD: images to the yardstick's last AP, %", "bccd", DENSE, FULL, _share_of_images, "at most", 50),
    Question("BCCD: AP, points more", "bccd", DENSE, FULL, _AP, "at least", 0),
    Question("BCCD: AP more than with the target of one", "bccd", DENSE, TO_ONE, _AP, "at least", 0),
    Question("more than 100 nuclei: crowd AP over learned queries", _NUCLEI, DENSE, LEARNED, _FULLEST, "at least", 0),
    Question("the same, over Faster R-CNN", _NUCLEI, DENSE, FASTER_RCNN, _FULLEST, "at least", 0),
    Question("composed nuclei: AP, points more", _COMPOSED, DENSE, FULL, _AP, "at least", 0),
    Question("the same, than Faster R-CNN", _COMPOSED, DENSE, FASTER_RCNN, _AP, "at least", 0),
    Question("trained on 8 to 14 objects, asked for 40 to 80: Recall", _LARGE, _ASKED, DENSE, _RECALL, "at least", -5),
    Question("the same: overlapped > .5 found", _LARGE, _ASKED, DENSE, _FOUND, "at least", -5),
    Question("what the stages add to their dense head: AP", _CROWDED, DENSE, ALONE, _AP, "at least", 2),
    Question("the same: overlapped > .5 found", _CROWDED, DENSE, ALONE, _FOUND, "at least", 5),
    Question("the same, duplicates lowered: AP", _CROWDED, DENSE, ALONE, _LOWERED_AP, "at least", 2),
    Question(
        "the same, duplicates lowered: overlapped > .5 found", _CROWDED, DENSE, ALONE, _LOWERED_FOUND, "at least", 5
    ),
    Question("crowding by paste: crowd AP on nuclei", _NUCLEI, PASTED, DENSE, _CROWD, "at least", -0.5),
    Question("the same: overlapped > .5 found in composed crowds", _COMPOSED, _PASTED, _PLAIN, _FOUND, "at least", 8),
    Question("the image's own pasted: crowd AP on nuclei", _NUCLEI, PASTED_OWN, DENSE, _CROWD, "at least", -0.5),
    Question(
        "the same: overlapped > .5 found in composed crowds", _COMPOSED, _PASTED_OWN, _PLAIN, _FOUND, "at least", 8
    ),
]
