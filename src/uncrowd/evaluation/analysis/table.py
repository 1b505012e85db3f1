"""Says what goes wrong in a few lines of text."""

from collections.abc import Sequence

from uncrowd.evaluation.analysis.errors import ErrorAnalysis
from uncrowd.evaluation.analysis.slices import Slice

# The most pairs of confused classes that are listed.
PAIRS = 5


def error_table(analysis: ErrorAnalysis) -> str:
    """Returns errors by kind, recall by crowding and size, confused classes and calibration, as lines of text."""
    kinds = [
        (kind.name, f"{kind.number:,}", "-" if kind.ap_cost is None else f"{100 * kind.ap_cost:+.1f}", kind.meaning)
        for kind in analysis.kinds
    ]
    slices = [
        row
        for title, group in (("crowding", analysis.slices.crowding), ("size", analysis.slices.sizes))
        for row in [(title, "objects", "found", "duplicates"), *map(_slice_row, group)]
    ]
    lines = [
        f"What goes wrong at IoU 0.5 and a score of at least {analysis.threshold:g}:",
        *_aligned([("error", "number", "AP50", "what it is"), *kinds], "lrrl"),
        f"Without such errors AP50 over all detections, {_percent(analysis.ap)}, would rise by the column AP50.",
        "",
        *_aligned(slices, "lrrr"),
    ]
    pairs = analysis.confusion.worst(PAIRS)
    if pairs:
        lines += ["", *(f"{p.number} of {p.truth} taken for {p.detected} ({_percent(p.share)} %)" for p in pairs)]
    return "\n".join([*lines, "", calibration_sentence(analysis)])


def calibration_sentence(analysis: ErrorAnalysis) -> str:
    """Returns a sentence on how far scores are from the share of detections that are right."""
    calibration = analysis.calibration
    if calibration is None:
        return "Scores are not all within 0 to 1, so their calibration is not measured."
    if calibration.error is None or calibration.excess is None:
        return "No detection reaches the threshold, so there is no calibration error."
    error, excess = _percent(calibration.error), _percent(abs(calibration.excess))
    side = "high" if calibration.excess > 0 else "low"
    return f"Scores are off by {error} points (expected calibration error), and on average too {side} by {excess}."


def _slice_row(part: Slice) -> tuple[str, ...]:
    return part.name, f"{part.objects:,}", f"{_percent(part.recall)} %" if part.objects else "-", f"{part.duplicates:,}"


def _aligned(rows: Sequence[tuple[str, ...]], sides: str) -> list[str]:
    """Returns a line a row; the cells of a column stand at its left where `sides` has an l, else at its right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if side == "l" else cell.rjust(width)
            for cell, width, side in zip(row, widths, sides, strict=True)
        ).rstrip()
        for row in rows
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
