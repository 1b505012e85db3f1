"""Writes the tables, plots and example images of the claims into their pages, from the recorded lines alone."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.claims.answers import gain_answers, overlapped_answers, speed_answers
from benchmarks.claims.effects import IN_WORDS
from benchmarks.claims.examples import examples
from benchmarks.claims.kept import read_kept
from benchmarks.claims.learning import curve
from benchmarks.claims.lines import all_lines
from benchmarks.claims.lowered import Way, lowered, lowered_table, score_ranked
from benchmarks.claims.queries import (
    changes_table,
    decision_table,
    learning_of_queries,
    lowered_changes_table,
    with_lowered,
)
from benchmarks.claims.resampled import scorer
from benchmarks.claims.run import IOUS, Places, read_lines
from benchmarks.claims.settings import Line
from benchmarks.claims.speed import SPEED, last_speed, speed_table, step_factors
from benchmarks.claims.study import Study, draw_images, resample, studies
from benchmarks.claims.tables import (
    FEW_OBJECTS,
    NOT_YET,
    effects_table,
    has_few_overlapped,
    learning_table,
    lines_table,
    overlapped_table,
    peers_table,
    scores_table,
)

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.errors import InputError, require_at_least
from uncrowd.evaluation.analysis.nearest import OVERLAPS
from uncrowd.structures import Detections, ImageId
from uncrowd.visualize.curves import plot_curves
from uncrowd.whole_file import whole_file


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Write the tables, plots and images of two pages from the lines that are done."""

    # The page on the claims, with a pair of comments for each table; images are written beside it.
    page: Path = Path("docs/results/claims.md")
    # The page on queries from the image, likewise.
    queries: Path = Path("docs/results/queries.md")
    # Resamples of seeds and images for each interval.
    resamples: int = 1000
    # Where runs and results are kept.
    places: Places = field(default_factory=Places)

    def __post_init__(self) -> None:
        """Raises InputError for too few resamples for an interval."""
        require_at_least(100, **{"--resamples": self.resamples})


def write_page(command: Tables, lines: Sequence[Line] | None = None) -> None:
    """Replaces what is between the markers of the pages. lines: those of the queue.

    Raises InputError for a page that cannot be read, or that lacks a marker, and for lines that cannot be read.
    """
    lines = all_lines() if lines is None else lines
    records = read_lines(command.places.lines)
    names = [line.name for line in lines]
    speed = last_speed(command.places.results / SPEED)
    opened = _Opened(command.places, {line.name: line for line in lines}, command.resamples)
    of_changes = with_lowered(
        {name: records[name] for name in names if name in records}, partial(opened.ranked, way=lowered)
    )
    of_queries = {
        "learning": learning_of_queries(of_changes),
        "changes": changes_table(of_changes),
        "lowered changes": lowered_changes_table(of_changes),
        "decision": decision_table(of_changes, names, speed),
    }
    _fill(command.queries, of_queries)
    # One detector alone answers no question of this page.
    done = [study for study in studies(records.values(), opened.resampled, names) if len(study.records) > 1]
    _fill(command.page, _blocks(command, done, records, names, opened, speed))


def _fill(page: Path, blocks: Mapping[str, str]) -> None:
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{page} cannot be read: {error.strerror or error}.") from error
    with whole_file(page) as beside:
        beside.write_text(filled(text, blocks, str(page)), encoding="utf-8")


def filled(text: str, blocks: Mapping[str, str], source: str) -> str:
    """Returns the page with each block between its markers, `<!-- NAME -->` and `<!-- end of NAME -->`."""
    for name, content in blocks.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise InputError(f"{source} has no place for {name}; add the lines {begin} and {end}.")
        text = pattern.sub(lambda _, whole=f"{begin}\n\n{content}\n\n{end}": whole, text)
    return text


class _Opened:
    """The test splits of the datasets, each opened once, and the kept detections of lines on them."""

    def __init__(self, places: Places, lines: Mapping[str, Line], resamples: int) -> None:
        self._places, self._lines, self._resamples = places, lines, resamples
        self._tests: dict[str, DetectionDataset] = {}
        self._ranked: dict[tuple[str, Way], dict[str, float]] = {}

    def test(self, name: str) -> DetectionDataset:
        """Returns the test split of a line's dataset."""
        dataset = self._lines[name].dataset
        if dataset.name not in self._tests:
            test = open_dataset(dataset.write(self._places.work / "data", self._places.real)).test
            assert test is not None, "a dataset of the claims has all splits"
            self._tests[dataset.name] = test
        return self._tests[dataset.name]

    def found(self, name: str) -> dict[ImageId, Detections]:
        """Returns the kept detections of a line."""
        return read_kept(self._places.detections(self._lines[name]), self.test(name).categories)

    def ranked(self, name: str, way: Way) -> dict[str, float]:
        """Returns the scores of a line on all images when its detections are ranked in a way; each is computed once."""
        if (name, way) not in self._ranked:
            self._ranked[name, way] = score_ranked(self.test(name), self.found(name), way)
        return self._ranked[name, way]

    def resampled(self, record: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Returns the scores of a line on all images and on resamples of them; a share of few objects is left out."""
        name, test = record["name"], self.test(record["name"])
        print(f"resampling {name}", file=sys.stderr, flush=True)
        score = scorer(list(test), self.found(name), test.categories, ious=IOUS, threshold=record["threshold"])
        scores = resample(score, draw_images(len(test), self._resamples))
        if has_few_overlapped(record["test"]["overlapped"][0]["objects"]):
            scores = {name: values for name, values in scores.items() if not name.startswith("found at")}
        return scores


def _blocks(
    command: Tables,
    done: Sequence[Study],
    records: Mapping[str, Mapping[str, Any]],
    names: Sequence[str],
    opened: _Opened,
    speed: Mapping[str, Any] | None,
) -> dict[str, str]:
    factors = step_factors(speed)

    def learning(study: Study) -> str:
        return f"{_plot(command.page, study, 'learning', _learning_plot(study))}\n\n{learning_table(study, factors)}"

    def overlapped(study: Study) -> str:
        return f"{_plot(command.page, study, 'overlapped', _overlapped_plot(study))}\n\n{overlapped_table(study)}"

    def shown(study: Study) -> str:
        drawn = examples(study, opened.test, opened.found)
        return NOT_YET if drawn is None else _image(command.page, study, "examples", "jpg", *drawn)

    with_peers = [study for study in done if study.peers]
    return {
        "answer 1": gain_answers(done),
        "answer 2": speed_answers(done),
        "answer 3": overlapped_answers(done),
        "scores": _each(done, scores_table),
        "effects": _each(done, effects_table),
        "learning": _each(done, learning),
        "overlapped": _each(done, overlapped),
        "lowered": _each(done, lambda study: lowered_table(study, opened.ranked)),
        "peers": _each(with_peers, peers_table),
        "examples": _each(done[:1], shown),
        "speed": speed_table(speed),
        "lines": lines_table(names, records),
    }


def _each(done: Iterable[Study], block: Callable[[Study], str]) -> str:
    return "\n\n".join(f"**{study.dataset}, {study.budget}**\n\n{block(study)}" for study in done) or NOT_YET


def _learning_plot(study: Study) -> bytes:
    series, bands = {}, {}
    for detector in study.trained_here:
        images, ap = curve(list(study.records[detector].values()))
        name = IN_WORDS.get(detector, detector)
        series[name] = (images, 100 * ap.mean(axis=0))
        bands[name] = (100 * ap.min(axis=0), 100 * ap.max(axis=0))
    title = f"{study.dataset}, {study.budget}: mean, lowest and highest seed"
    return plot_curves(series, title=title, x_label="images seen", y_label="AP on the validation split", bands=bands)


def _overlapped_plot(study: Study) -> bytes:
    """Plots the recall of overlapped objects at IoU .5 in each interval, at its upper end; few objects leave a gap."""
    series = {}
    for detector, runs in study.records.items():
        scores = [record["test"]["overlapped"][0] for record in runs.values()]
        found, objects = (np.mean([each[name] for each in scores], axis=0) for name in ("found", "objects"))
        recall = np.where(objects >= FEW_OBJECTS, 100 * found / np.maximum(objects, 1), np.nan)
        series[IN_WORDS.get(detector, detector)] = (OVERLAPS, recall)
    return plot_curves(
        series,
        title=f"{study.dataset}, {study.budget}: objects found at IoU .5",
        x_label="largest IoU with another object, up to",
        y_label="% found",
    )


def _plot(page: Path, study: Study, kind: str, svg: bytes) -> str:
    return _image(page, study, kind, "svg", svg, f"{kind} of {study.dataset}, {study.budget}")


def _image(page: Path, study: Study, kind: str, suffix: str, content: bytes, words: str) -> str:
    """Writes an image beside the page, and returns the link to it."""
    file = page.with_name(f"{page.stem}_{study.dataset}_{study.budget}_{kind}.{suffix}")
    with whole_file(file) as beside:
        beside.write_bytes(content)
    return f"![{words}]({file.name})"
