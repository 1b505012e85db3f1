"""Which learning rate a detector trains with: one seed of a short run tries each of a list, and validation chooses."""

from collections.abc import Mapping
from typing import Any

from benchmarks.claims.datasets import CROWDED
from benchmarks.claims.settings import RATES, Detector, Line

from uncrowd.errors import InputError


def rate_lines(detector: Detector) -> list[Line]:
    """Returns the lines that try each learning rate of a detector, all on the drawn crowds that most lines train on."""
    return [Line(dataset=CROWDED, detector=detector, budget=RATES, seed=0, rate=rate) for rate in detector.rates]


def needs(line: Line) -> list[str]:
    """Returns the names of the lines that have to be recorded before this one can run."""
    return [*([line.trains.name] if line.trained_on is not None else []), *_tried(line)]


def _tried(line: Line) -> list[str]:
    """Returns the names of the lines that choose the learning rate of this one."""
    chosen = line.rate is not None or line.detector.learning_rate is not None
    return [] if chosen else [each.name for each in rate_lines(line.detector)]


def with_chosen_rate(line: Line, recorded: Mapping[str, Mapping[str, Any]]) -> Detector:
    """Returns the detector of a line with the learning rate that it trains with.

    recorded: lines by name. Of the rates tried, the one with the highest AP on the validation split is chosen. Raises
    InputError if a line is missing.
    """
    if line.rate is not None:
        return line.detector.with_rate(line.rate)
    tried = _tried(line)
    if not tried:
        return line.detector
    missing = [name for name in tried if name not in recorded]
    if missing:
        raise InputError(f"{line.name} needs a learning rate; run {' and '.join(missing)} first.")
    best = max(tried, key=lambda name: recorded[name]["evaluations"][-1]["AP"] or 0.0)
    return line.detector.with_rate(recorded[best]["learning_rate"])
