"""Score thresholds: one for all classes, or one for each class by its name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from uncrowd.errors import InputError, require_threshold
from uncrowd.words import first

# A number for all classes, or a number for each class by its name.
Threshold = float | Mapping[str, float]

# The threshold of `uncrowd predict`, and of counts, where weights have none of their own.
DEFAULT_THRESHOLD = 0.3


@dataclass(frozen=True, kw_only=True)
class ScoreThresholds:
    """The least score of each class, by its name, that was best on validation data.

    f1: detections above it have the highest F1. count: their numbers have the lowest total counting error.
    """

    f1: dict[str, float]
    count: dict[str, float]

    def __post_init__(self) -> None:
        """Raises InputError for a threshold that no score can have."""
        for threshold in (*self.f1.values(), *self.count.values()):
            require_threshold(threshold)

    def in_words(self) -> str:
        """Returns "0.35 for the best F1, 0.4 for the best counts"; see the function `in_words`."""
        return f"{in_words(self.f1)} for the best F1, {in_words(self.count)} for the best counts"


def of_each_class(threshold: Threshold, names: Sequence[str]) -> list[float]:
    """Returns the threshold of each class of `names`.

    Raises InputError for one outside 0 to 1, and for a mapping with other names than these.
    """
    if not isinstance(threshold, Mapping):
        require_threshold(threshold)
        return [float(threshold)] * len(names)
    require_known(threshold, names)
    for name in names:
        if name not in threshold:
            raise InputError(f"threshold names no number for {name}; give one for each class: {first(names, 10)}.")
        require_threshold(threshold[name], f"threshold of {name}")
    return [float(threshold[name]) for name in names]


def keeps_all(threshold: Threshold) -> bool:
    """Whether every detection has a score of at least the threshold."""
    return not any(threshold.values() if isinstance(threshold, Mapping) else [threshold])


def require_known(wanted: Iterable[str], names: Sequence[str]) -> None:
    """Raises InputError for a class name that is not among `names`."""
    for name in wanted:
        if name not in names:
            raise InputError(f"{name!r} is no class of this detector; its classes are {first(names, 10)}.")


def in_words(threshold: Threshold) -> str:
    """Returns "0.35", or "0.35 (dog), 0.4 (person)" where classes differ."""
    if not isinstance(threshold, Mapping):
        return f"{threshold:g}"
    classes: dict[float, list[str]] = {}
    for name, number in threshold.items():
        classes.setdefault(number, []).append(name)
    if len(classes) == 1:
        return f"{next(iter(classes)):g}"
    return ", ".join(f"{number:g} ({first(classes[number], 3)})" for number in sorted(classes))
