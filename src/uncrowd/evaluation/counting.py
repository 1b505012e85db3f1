"""Compares, image by image, the number of detections with the number of objects."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from uncrowd.evaluation.matching import match_image
from uncrowd.structures import Categories, Detections, ImageId, Sample
from uncrowd.thresholds import Threshold, in_words

# A table has no more classes than this.
MOST_ROWS = 12


@dataclass(frozen=True, kw_only=True)
class CountingError:
    """The errors of the counts of some images; None without images, and a total error of None without objects.

    The error of an image is counted - objects. objects, counted: in all images. mae, rmse: mean, and root of the mean
    square, of the absolute error of an image. bias: mean error, above 0 where too many are counted. total_error: sum
    of the absolute errors over the number of objects.
    """

    objects: int
    counted: int
    mae: float | None
    rmse: float | None
    bias: float | None
    total_error: float | None


@dataclass(frozen=True, kw_only=True)
class Counting:
    """The counting errors of each class, and of all classes together.

    threshold: the least score of a detection that is counted. overall: the absolute error of an image is here the sum
    of those of its classes, so a dog that is counted as a person is two errors. per_class: by class name.
    """

    threshold: Threshold
    overall: CountingError
    per_class: dict[str, CountingError]

    def table(self) -> str:
        """Returns the errors as text, a line for all classes and one for each.

        Of more than 12 classes those with the largest sums of errors are shown.
        """
        per_class, left_out = self.per_class, 0
        if len(per_class) > MOST_ROWS:
            worst = sorted(per_class, key=lambda name: -(per_class[name].mae or 0))[:MOST_ROWS]
            per_class = {name: error for name, error in per_class.items() if name in worst}
            left_out = len(self.per_class) - len(per_class)
        rows = {"all classes": self.overall, **per_class} if len(self.per_class) > 1 else per_class
        width = max(map(len, rows), default=0)
        lines = [
            f"counts of detections with a score of {in_words(self.threshold)} or more:",
            f"{'':{width}}  objects  counted    MAE   RMSE   bias  total error",
        ]
        for name, error in rows.items():
            numbers = (_cell(error.mae), _cell(error.rmse), _cell(error.bias, sign=True))
            share = "-" if error.total_error is None else f"{100 * error.total_error:.1f} %"
            shown = "  ".join(number.rjust(5) for number in numbers)
            lines.append(f"{name:{width}}  {error.objects:7}  {error.counted:7}  {shown}  {share:>11}")
        return "\n".join([*lines, *([f"{left_out} classes with smaller errors are left out"] if left_out else [])])


def counting_errors(
    samples: Iterable[Sample],
    detections: Mapping[ImageId, Detections],
    categories: Categories,
    threshold: Threshold,
) -> Counting:
    """Returns the errors of the counts of detections with a score of at least `threshold`.

    Raises InputError for a threshold that does not fit the classes.
    """
    true, ours = count_both(samples, detections, categories, threshold)
    return Counting(
        threshold=threshold,
        overall=_error(true, ours),
        per_class={
            name: _error(true[:, [label]], ours[:, [label]]) for label, name in enumerate(categories.unique_names)
        },
    )


def count_both(
    samples: Iterable[Sample],
    detections: Mapping[ImageId, Detections],
    categories: Categories,
    threshold: Threshold,
) -> tuple[Int64[np.ndarray, "n c"], Int64[np.ndarray, "n c"]]:
    """Returns the number of objects, and of detections with a score of at least `threshold`, by image and class.

    Ignored ground truth is not counted, and neither are detections on it (see `match_image`). An image that is not a
    key of `detections` has none. Raises InputError for a threshold that does not fit the classes.
    """
    truth: list[Int64[np.ndarray, " c"]] = []
    counted: list[Int64[np.ndarray, " c"]] = []
    classes = len(categories)
    for sample in samples:
        truth.append(np.bincount(sample.labels[~sample.ignore], minlength=classes))
        found = detections[sample.id].above(threshold) if sample.id in detections else None
        labels = np.zeros(0, dtype=np.int64) if found is None else found.labels.numpy()
        if found is not None and sample.ignore.any():
            labels = labels[~match_image(sample, found).ignored]
        counted.append(np.bincount(labels, minlength=classes))
    true, ours = (np.array(numbers, dtype=np.int64).reshape(-1, classes) for numbers in (truth, counted))
    return true, ours


def _error(true: Int64[np.ndarray, "n c"], counted: Int64[np.ndarray, "n c"]) -> CountingError:
    """Returns the errors of n images, each summed over c classes."""
    off = np.abs(counted - true).sum(axis=1)
    objects = int(true.sum())
    return CountingError(
        objects=objects,
        counted=int(counted.sum()),
        mae=float(off.mean()) if len(off) else None,
        rmse=math.sqrt((off**2).mean()) if len(off) else None,
        bias=float((counted - true).sum(axis=1).mean()) if len(off) else None,
        total_error=float(off.sum() / objects) if objects else None,
    )


def _cell(number: float | None, *, sign: bool = False) -> str:
    return "-" if number is None else f"{number:{'+' if sign else ''}.2f}"
