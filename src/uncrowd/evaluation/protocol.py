"""The interface of all evaluators: they take the detections of any detector and return named scores."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from uncrowd.errors import InputError
from uncrowd.evaluation.counting import Counting
from uncrowd.structures import Categories, Detections, ImageId, Sample

FEW, SCREEN = 12, 120


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Named scores from 0 to 1, or None where a score is not defined, such as the AP of a class without ground truth.

    headline: the key of the score by which the best checkpoint is chosen. per_class: AP by class name, in the order of
    the dataset. meanings: an explanation of each score in words. counting: the errors of counts, where they were
    computed; they need a score threshold, which the other scores do not have.
    """

    headline: str
    values: dict[str, float | None]
    per_class: dict[str, float | None]
    meanings: dict[str, str] = field(default_factory=dict)
    counting: Counting | None = None

    @property
    def main(self) -> float | None:
        """The score named by `headline`."""
        return self.values[self.headline]

    def table(self) -> str:
        """Returns the scores as text in percent: a line of names, one of values, the AP of each class, then the counts.

        A single class is not listed. If there are more than 12 classes, those without ground truth are only counted.
        """
        widths = [max(len(name), 5) for name in self.values]
        lines = [
            "  ".join(name.rjust(width) for name, width in zip(self.values, widths, strict=True)),
            "  ".join(_percent(value).rjust(width) for value, width in zip(self.values.values(), widths, strict=True)),
        ]
        shown = self.per_class
        if len(shown) > FEW:
            shown = {name: ap for name, ap in shown.items() if ap is not None}
        if len(self.per_class) > 1 and shown:
            width = max(map(len, shown))
            lines += ["", *_in_columns([f"{name.ljust(width)}  {_percent(ap).rjust(5)}" for name, ap in shown.items()])]
        if len(shown) < len(self.per_class):
            lines.append(f"{len(self.per_class) - len(shown)} classes have no ground truth")
        if self.counting is not None:
            lines += ["", self.counting.table()]
        return "\n".join(lines)


@runtime_checkable
class Evaluator(Protocol):
    """Scores detections on a whole dataset; implemented by `CocoEvaluator` and `CrowdHumanEvaluator`."""

    def evaluate(
        self, samples: Iterable[Sample], detections: Mapping[ImageId, Detections], categories: Categories
    ) -> Scores:
        """Scores the detections, which are keyed by image id; an image that is not a key has no detections.

        Raises InputError for detections of images or classes that the dataset does not have.
        """
        ...


def check_same_dataset(
    samples: Iterable[Sample], detections: Mapping[ImageId, Detections], categories: Categories
) -> None:
    """Raises InputError for detections of images that are not among `samples`, or with other classes."""
    known = {sample.id for sample in samples}
    unknown = [repr(id) for id in detections if id not in known]
    if unknown:
        raise InputError(
            f"There are detections for {len(unknown)} image(s) that the dataset does not have (the first has the "
            f"id {unknown[0]}); score them on the dataset they were made for."
        )
    for id, found in detections.items():
        if len(found) and found.categories != categories:
            raise InputError(
                f"The detections of image {id!r} have the classes {_short(found.categories)}, but the dataset has "
                f"{_short(categories)}; score them on a dataset with the same classes, ids and order."
            )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _in_columns(cells: list[str]) -> list[str]:
    """Returns lines with the cells, all of one width, column by column.

    Up to 12 cells make one column; more make as many columns as fit in 120 characters.
    """
    columns = 1 if len(cells) <= FEW else max(SCREEN // (len(cells[0]) + 4), 1)
    rows = math.ceil(len(cells) / columns)
    return ["    ".join(cells[row::rows]) for row in range(rows)]


def _short(categories: Categories) -> str:
    pairs = [f"{id} {name}" for id, name in zip(categories.ids, categories.names, strict=True)]
    return ", ".join(pairs[:3]) + (f", ... ({len(pairs)} in all)" if len(pairs) > 3 else "")
