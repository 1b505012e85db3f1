"""The part of a report that says what goes wrong."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from uncrowd.evaluation.analysis.confusion import ConfusedPair, Confusion
from uncrowd.evaluation.analysis.errors import ErrorAnalysis
from uncrowd.evaluation.analysis.precision_recall import RECALLS
from uncrowd.evaluation.analysis.table import calibration_sentence
from uncrowd.report.plot import Plot, plot

# With more classes than this the confusion matrix would be too wide, and only the worst pairs are shown.
MOST_CLASSES = 8
MOST_PAIRS = 12


class Cell(NamedTuple):
    """A cell of the confusion matrix: its number, as a share of its row, and whether it is right."""

    number: int
    share: float
    right: bool


@dataclass(frozen=True, kw_only=True)
class ErrorSection:
    """What the page shows.

    largest_cost: that of the most expensive kind of error; 1 if none costs anything. matrix: rows of name and cells;
    empty for one class, and for too many to show.
    """

    analysis: ErrorAnalysis
    largest_cost: float
    matrix: list[tuple[str, list[Cell]]]
    pairs: list[ConfusedPair]
    curves: Plot
    reliability: Plot | None
    calibration: str


def error_section(analysis: ErrorAnalysis) -> ErrorSection:
    """Returns the plots and tables of an analysis."""
    return ErrorSection(
        analysis=analysis,
        largest_cost=max(kind.ap_cost or 0.0 for kind in analysis.kinds) or 1.0,
        matrix=_matrix(analysis.confusion),
        pairs=analysis.confusion.worst(MOST_PAIRS),
        curves=_curves(analysis),
        reliability=_reliability(analysis),
        calibration=calibration_sentence(analysis),
    )


def _matrix(confusion: Confusion) -> list[tuple[str, list[Cell]]]:
    classes = len(confusion.names)
    if not 1 < classes <= MOST_CLASSES:
        return []
    shares = confusion.matrix / np.maximum(confusion.matrix.sum(axis=1, keepdims=True), 1)
    rows = [
        (name, [Cell(int(confusion.matrix[i, j]), float(shares[i, j]), i == j) for j in range(classes + 1)])
        for i, name in enumerate([*confusion.names, "no object"])
    ]
    rows[-1][1].pop()  # what is no object and was not found cannot be counted
    return rows


def _curves(analysis: ErrorAnalysis) -> Plot:
    series = {
        f"IoU {curve.iou:g}: AP {100 * curve.ap:.1f}": (100 * RECALLS, 100 * curve.precision)
        for curve in analysis.curves
    }
    return plot("Precision over recall", series, x_label="recall in %", y_label="precision in %")


def _reliability(analysis: ErrorAnalysis) -> Plot | None:
    if analysis.calibration is None or not analysis.calibration.bins:
        return None
    bins = analysis.calibration.bins
    series = {
        "these detections": (np.array([each.score for each in bins]), 100 * np.array([each.right for each in bins])),
        "perfect scores": (RECALLS, 100 * RECALLS),
    }
    return plot("Right detections by score", series, x_label="score", y_label="right in %")
