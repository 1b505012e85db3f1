"""Each kind of error is counted once in a made-up image, and every measure is also defined where there is nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from uncrowd.errors import InputError
from uncrowd.evaluation.analysis.calibration import calibration
from uncrowd.evaluation.analysis.errors import ErrorAnalysis, analyse_errors
from uncrowd.evaluation.analysis.table import error_table
from uncrowd.evaluation.coco import CocoEvaluator
from uncrowd.structures import Categories, Detections, ImageId, Sample

CAT, DOG = 0, 1
PETS = Categories(ids=(4, 9), names=("cat", "dog"))
ONLY_CATS = Categories(ids=(4,), names=("cat",))


def sample(id: ImageId, boxes, labels=None, ignore=None) -> Sample:
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    n = len(corners)
    return Sample(
        id=id,
        path=Path("unused.jpg"),
        size=(500, 500),
        boxes=corners,
        labels=np.array(labels if labels is not None else [CAT] * n, dtype=np.int64),
        ignore=np.array(ignore if ignore is not None else [False] * n, dtype=bool),
        areas=(corners[:, 2:] - corners[:, :2]).prod(axis=1),
    )


def detections(boxes, scores, labels=None, categories=PETS) -> Detections:
    return Detections(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores, dtype=torch.float32),
        labels=torch.tensor(labels if labels is not None else [CAT] * len(scores), dtype=torch.int64),
        categories=categories,
    )


def at(x: float, y: float = 0, width: float = 20) -> tuple[float, ...]:
    return x, y, x + width, y + 20


# Six objects of 20 x 20 in a row, and what was detected of them, best first.
OBJECTS = [at(0), at(50), at(100), at(150), at(200), at(250)]
IS = [CAT, CAT, DOG, DOG, CAT, CAT]
FOUND = {
    "right": (at(0), 0.9, CAT),
    "duplicated": (at(1), 0.8, CAT),
    "badly placed": (at(60), 0.7, CAT),  # IoU 1/3
    "wrong class": (at(100), 0.6, CAT),
    "both": (at(160), 0.5, CAT),  # IoU 1/3 with a dog
    "background": (at(0, 300), 0.4, CAT),
    "below the threshold": (at(200), 0.1, CAT),
}


def made() -> ErrorAnalysis:
    boxes, scores, labels = zip(*FOUND.values(), strict=True)
    return analyse_errors([sample(1, OBJECTS, IS)], {1: detections(boxes, scores, labels)}, PETS, threshold=0.3)


def test_each_kind_of_error_is_counted_above_the_threshold() -> None:
    numbers = {kind.name: kind.number for kind in made().kinds}
    # Missed are the two last cats and the dog on which only a detection of both faults is.
    assert numbers == {
        "missed": 3,
        "badly placed": 1,
        "duplicated": 1,
        "wrong class": 1,
        "both": 1,
        "background": 1,
    }


def test_an_error_costs_what_ap_gains_without_it() -> None:
    """Without the detection on the background, AP50 is that of the others; TIDE removes just that detection."""
    analysis = made()
    boxes, scores, labels = zip(*(found for name, found in FOUND.items() if name != "background"), strict=True)
    without = CocoEvaluator().evaluate([sample(1, OBJECTS, IS)], {1: detections(boxes, scores, labels)}, PETS)
    costs = {kind.name: kind.ap_cost for kind in analysis.kinds}
    assert without.values["AP50"] is not None
    assert analysis.ap is not None
    assert without.values["AP50"] > analysis.ap
    assert costs["background"] == pytest.approx(without.values["AP50"] - analysis.ap)


def test_curves_have_the_ap_of_the_scores() -> None:
    boxes, scores, labels = zip(*FOUND.values(), strict=True)
    expected = CocoEvaluator().evaluate([sample(1, OBJECTS, IS)], {1: detections(boxes, scores, labels)}, PETS)
    curves = {curve.iou: curve for curve in made().curves}
    assert list(curves) == [0.5, 0.75, 0.9]
    assert curves[0.5].ap == pytest.approx(expected.values["AP50"])
    assert curves[0.75].ap == pytest.approx(expected.values["AP75"])
    assert curves[0.9].precision.shape == (101,)


def test_confused_classes_stand_off_the_diagonal() -> None:
    confusion = made().confusion
    assert confusion.names == ["cat", "dog"]
    assert confusion.matrix.tolist() == [[1, 0, 3], [1, 0, 1], [4, 0, 0]]
    assert confusion.worst(5) == [("dog", "cat", 1, 0.5)]


def test_scores_are_compared_with_the_share_that_is_right() -> None:
    scores = np.array([0.95, 0.95, 0.85, 0.15], dtype=np.float32)
    measured = calibration(scores, np.array([True, False, True, True]), threshold=0.5)
    assert measured is not None
    assert [(b.number, round(b.score, 3), b.right) for b in measured.bins] == [
        (1, 0.15, 1),
        (1, 0.85, 1),
        (2, 0.95, 0.5),
    ]
    assert measured.error == pytest.approx((2 * 0.45 + 0.15) / 3)
    assert measured.excess == pytest.approx((0.95 + 0.95 + 0.85) / 3 - 2 / 3)


def test_scores_beyond_1_have_no_calibration_but_all_else() -> None:
    analysis = analyse_errors([sample(1, [at(0)])], {1: detections([at(0)], [7.5])}, PETS, threshold=0.5)
    assert analysis.calibration is None
    assert analysis.ap == pytest.approx(1)
    assert "not all within 0 to 1" in error_table(analysis)


def test_a_duplicate_belongs_to_its_object_and_does_not_find_the_neighbour() -> None:
    left, right = (0.0, 0.0, 40.0, 40.0), (10.0, 0.0, 50.0, 40.0)  # IoU .6
    image = sample(1, [left, right, (200, 0, 300, 100), (400, 0, 410, 10)])
    found = detections([left, (2, 0, 42, 40), (200, 0, 300, 100)], [0.9, 0.8, 0.7])
    slices = analyse_errors([image], {1: found}, PETS, threshold=0.5).slices
    by_name = {s.name: (s.objects, s.found, s.duplicates, s.recall) for s in (*slices.crowding, *slices.sizes)}
    assert by_name == {
        "no overlap": (2, 1, 0, 0.5),
        "IoU to 0.3": (0, 0, 0, None),
        "IoU to 0.5": (0, 0, 0, None),
        "IoU to 0.7": (2, 1, 1, 0.5),
        "IoU above 0.7": (0, 0, 0, None),
        "small": (1, 0, 0, 0.0),
        "medium": (2, 1, 1, 0.5),
        "large": (1, 1, 0, 1.0),
    }


def test_detections_on_ignored_ground_truth_are_no_errors() -> None:
    image = sample(1, [at(0), (100, 100, 300, 300)], ignore=[False, True])
    found = detections([at(0), (120, 120, 150, 150), (200, 120, 250, 150)], [0.9, 0.8, 0.7])
    analysis = analyse_errors([image], {1: found}, PETS, threshold=0.5)
    assert all(kind.number == 0 for kind in analysis.kinds)
    assert analysis.confusion.matrix.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert analysis.calibration is not None
    assert sum(each.number for each in analysis.calibration.bins) == 1


def test_a_single_class_has_no_confused_classes() -> None:
    found = detections([at(0), at(0, 300)], [0.9, 0.8], categories=ONLY_CATS)
    analysis = analyse_errors([sample(1, [at(0), at(50)])], {1: found}, ONLY_CATS, threshold=0.5)
    assert {kind.name: kind.number for kind in analysis.kinds} == {
        "missed": 1,
        "badly placed": 0,
        "duplicated": 0,
        "background": 1,
    }
    assert "taken for" not in error_table(analysis)


@pytest.mark.parametrize("boxes", [[], [at(0)]], ids=["no objects", "objects"])
@pytest.mark.parametrize("found", [{}, {1: detections([], [])}, {1: detections([at(90)], [0.9])}])
def test_where_there_is_nothing_all_is_defined(boxes, found) -> None:
    analysis = analyse_errors([sample(1, boxes)], found, PETS, threshold=0.5)
    content = analysis.to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert (content["AP50"] is None) == (not boxes)
    assert (content["kinds"]["missed"]["AP50_cost"] is None) == (not boxes)
    table = error_table(analysis)
    assert "What goes wrong at IoU 0.5 and a score of at least 0.5:" in table
    assert "nan" not in table


def test_detections_of_other_images_are_refused() -> None:
    with pytest.raises(InputError, match="has the id 2"):
        analyse_errors([sample(1, [])], {2: detections([], [])}, PETS, threshold=0.5)


def test_the_text_is_short_and_says_what_each_number_is() -> None:
    lines = error_table(made()).splitlines()
    assert lines[0] == "What goes wrong at IoU 0.5 and a score of at least 0.3:"
    assert lines[4].startswith("duplicated         1  ")
    assert "1 of dog taken for cat (50.0 %)" in lines
    assert len(lines) < 30
    assert max(map(len, lines)) <= 120
