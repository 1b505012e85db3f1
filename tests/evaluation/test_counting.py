"""The errors of counts, computed by hand."""

from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import torch

from uncrowd.evaluation.counting import counting_errors
from uncrowd.structures import Categories, Detections, ImageId, Sample

CATEGORIES = Categories(ids=(5, 9), names=("person", "dog"))


def image(id: int, people: int, dogs: int, ignored: int = 0) -> Sample:
    """An image with boxes of 10 x 10 in a row: people, then dogs, then people that are ignored."""
    n = people + dogs + ignored
    left = 20.0 * np.arange(n)
    return Sample(
        id=id,
        path=Path("unused.jpg"),
        size=(10, 400),
        boxes=np.stack([left, np.zeros(n), left + 10, np.full(n, 10.0)], axis=1),
        labels=np.array([0] * people + [1] * dogs + [0] * ignored, dtype=np.int64),
        ignore=np.arange(n) >= people + dogs,
        areas=np.full(n, 100.0),
    )


def found(people: list[float], dogs: list[float], left: float = 0.0) -> Detections:
    """Detections with these scores, in a row from `left`."""
    n = len(people) + len(dogs)
    x = left + 20.0 * torch.arange(n)
    return Detections(
        boxes=torch.stack([x, torch.zeros(n), x + 10, torch.full((n,), 10.0)], dim=1),
        scores=torch.tensor([*people, *dogs]),
        labels=torch.tensor([0] * len(people) + [1] * len(dogs), dtype=torch.int64),
        categories=CATEGORIES,
    )


SAMPLES = [image(1, people=3, dogs=1), image(2, people=2, dogs=0), image(3, people=0, dogs=0)]
# people: 5 instead of 3, 1 instead of 2, none instead of none; dogs: 0 instead of 1, 1 instead of 0, none.
DETECTIONS: dict[ImageId, Detections] = {1: found([0.9] * 5 + [0.1], [0.1]), 2: found([0.9], [0.9])}


def test_the_errors_of_each_class() -> None:
    counting = counting_errors(SAMPLES, DETECTIONS, CATEGORIES, 0.5)
    people, dogs = counting.per_class["person"], counting.per_class["dog"]
    assert (people.objects, people.counted) == (5, 6)
    assert people.mae == pytest.approx((2 + 1 + 0) / 3)
    assert people.rmse == pytest.approx(sqrt((4 + 1 + 0) / 3))
    assert people.bias == pytest.approx((2 - 1 + 0) / 3)
    assert people.total_error == pytest.approx(3 / 5)
    assert (dogs.objects, dogs.counted, dogs.bias, dogs.total_error) == (1, 1, 0, 2)


def test_overall_the_errors_of_classes_are_added_up_and_do_not_cancel() -> None:
    overall = counting_errors(SAMPLES, DETECTIONS, CATEGORIES, 0.5).overall
    assert (overall.objects, overall.counted) == (6, 7)
    assert overall.mae == pytest.approx((3 + 2 + 0) / 3)
    assert overall.rmse == pytest.approx(sqrt((9 + 4 + 0) / 3))
    assert overall.bias == pytest.approx((1 + 0 + 0) / 3)
    assert overall.total_error == pytest.approx(5 / 6)


def test_each_class_has_its_own_threshold() -> None:
    counting = counting_errors(SAMPLES, DETECTIONS, CATEGORIES, {"person": 0.05, "dog": 0.95})
    assert counting.per_class["person"].counted == 7
    assert counting.per_class["dog"].counted == 0


def test_what_is_ignored_is_not_counted() -> None:
    sample = image(1, people=1, dogs=0, ignored=2)
    on_ignored = counting_errors([sample], {1: found([0.9, 0.9, 0.9], [])}, CATEGORIES, 0.5).overall
    assert (on_ignored.objects, on_ignored.counted, on_ignored.mae) == (1, 1, 0)
    elsewhere = counting_errors([sample], {1: found([0.9, 0.9], [], left=300)}, CATEGORIES, 0.5).overall
    assert (elsewhere.counted, elsewhere.mae) == (2, 1)


def test_without_images_or_objects_errors_are_undefined() -> None:
    nothing = counting_errors([], {}, CATEGORIES, 0.5)
    assert (nothing.overall.mae, nothing.overall.rmse, nothing.overall.bias) == (None, None, None)
    empty = counting_errors([image(1, 0, 0)], {1: found([0.9], [])}, CATEGORIES, 0.5).overall
    assert (empty.mae, empty.total_error) == (1, None)
    assert "-" in nothing.table()


def test_the_table() -> None:
    assert counting_errors(SAMPLES, DETECTIONS, CATEGORIES, {"person": 0.5, "dog": 0.6}).table().splitlines() == [
        "counts of detections with a score of 0.5 (person), 0.6 (dog) or more:",
        "             objects  counted    MAE   RMSE   bias  total error",
        "all classes        6        7   1.67   2.08  +0.33       83.3 %",
        "person             5        6   1.00   1.29  +0.33       60.0 %",
        "dog                1        1   0.67   0.82  +0.00      200.0 %",
    ]


def test_of_many_classes_the_worst_are_shown() -> None:
    many = Categories(ids=tuple(range(20)), names=tuple(f"class {i}" for i in range(20)))
    samples = [
        Sample(
            id=1,
            path=Path("unused.jpg"),
            size=(10, 10),
            boxes=np.zeros((5, 4)),
            labels=np.array([7, 7, 7, 2, 2], dtype=np.int64),
            ignore=np.zeros(5, dtype=bool),
            areas=np.zeros(5),
        )
    ]
    lines = counting_errors(samples, {}, many, 0.5).table().splitlines()
    assert len(lines) == 2 + 1 + 12 + 1
    assert lines[-1] == "8 classes with smaller errors are left out"
    assert any(line.startswith("class 7 ") for line in lines)
