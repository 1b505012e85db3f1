"""Detections are converted to the formats of other libraries with the dataset's own ids and names."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from uncrowd.errors import InputError
from uncrowd.structures import Categories, Detections, Target

# as in COCO, ids have gaps; labels do not
CATEGORIES = Categories(ids=(1, 7, 90), names=("person", "train", "toothbrush"))


@pytest.fixture
def detections() -> Detections:
    return Detections(
        boxes=torch.tensor([[10.0, 20, 40, 60], [0, 0, 5, 5], [1, 2, 3, 4]]),
        scores=torch.tensor([0.75, 0.5, 0.25]),
        labels=torch.tensor([2, 0, 1]),
        categories=CATEGORIES,
    )


def test_classes_have_an_id_and_a_name_each() -> None:
    with pytest.raises(InputError, match="Classes have 1 ids and 2 names; give each one of both"):
        Categories(ids=(1,), names=("person", "train"))


def test_coco_records_carry_the_datasets_ids_and_xywh_boxes(detections: Detections) -> None:
    records = detections.to_coco(image_id=139)
    assert records[0] == {"image_id": 139, "category_id": 90, "bbox": [10, 20, 30, 40], "score": 0.75}
    assert [record["category_id"] for record in records] == [90, 1, 7]


def test_names(detections: Detections) -> None:
    assert detections.names == ["toothbrush", "person", "train"]
    assert detections.captions == ["toothbrush 0.75", "person 0.50", "train 0.25"]
    assert len(detections) == 3
    assert len(CATEGORIES) == 3


def test_above_keeps_scores_of_at_least_the_threshold(detections: Detections) -> None:
    kept = detections.above(0.5)
    assert kept.scores.tolist() == [0.75, 0.5]
    assert kept.labels.tolist() == [2, 0]
    assert kept.boxes.tolist() == detections.boxes[:2].tolist()
    assert len(detections.above(0.9)) == 0
    assert detections.above(0.9).to_coco("empty") == []


def test_counts(detections: Detections) -> None:
    assert detections.counts == {"person": 1, "train": 1, "toothbrush": 1}
    assert detections.above(0.6).counts == {"person": 0, "train": 0, "toothbrush": 1}
    twins = Categories(ids=(1, 7, 90), names=("person", "person", "toothbrush"))
    assert replace(detections, categories=twins).counts == {"person (1)": 1, "person (7)": 1, "toothbrush": 1}


def test_a_threshold_may_be_one_for_each_class(detections: Detections) -> None:
    assert detections.above({"person": 0.6, "train": 0.25, "toothbrush": 0.7}).names == ["toothbrush", "train"]


@pytest.mark.parametrize(
    ("which", "scores"),
    [
        (1, [0.5]),
        (-1, [0.25]),
        (np.int64(0), [0.75]),
        (slice(1, None), [0.5, 0.25]),
        (slice(None, None, -1), [0.25, 0.5, 0.75]),
        ([2, 0], [0.25, 0.75]),
        ([], []),
        ([True, False, True], [0.75, 0.25]),
        (np.array([False, True, False]), [0.5]),
        (torch.tensor([1, 1]), [0.5, 0.5]),
    ],
    ids=str,
)
def test_some_are_taken_by_index(detections: Detections, which, scores: list[float]) -> None:
    taken = detections[which]
    assert taken.scores.tolist() == scores
    rows = [detections.scores.tolist().index(score) for score in scores]
    assert taken.boxes.tolist() == [detections.boxes[row].tolist() for row in rows]
    assert taken.names == [detections.names[row] for row in rows]


def test_they_are_iterated_one_by_one(detections: Detections) -> None:
    assert [(len(each), each.names, each.scores.item()) for each in detections] == [
        (1, ["toothbrush"], 0.75),
        (1, ["person"], 0.5),
        (1, ["train"], 0.25),
    ]
    for beyond in (3, -4):
        with pytest.raises(IndexError):
            detections[beyond]


def test_to_dataframe(detections: Detections) -> None:
    pytest.importorskip("pandas", reason="it comes with an extra")
    table = detections.to_dataframe()
    assert list(table.columns) == ["class", "category_id", "score", "x1", "y1", "x2", "y2"]
    assert table.loc[0].tolist() == ["toothbrush", 90, 0.75, 10, 20, 40, 60]
    assert table["class"].tolist() == detections.names
    assert len(detections[:0].to_dataframe()) == 0


def test_to_supervision(detections: Detections) -> None:
    theirs = detections.to_supervision()
    assert len(theirs) == 3
    assert theirs.xyxy.tolist() == detections.boxes.tolist()
    assert theirs.confidence is not None
    assert theirs.confidence.tolist() == [0.75, 0.5, 0.25]
    assert theirs.class_id is not None
    assert theirs.class_id.tolist() == [2, 0, 1]
    assert list(theirs.data["class_name"]) == ["toothbrush", "person", "train"]


def test_tracks_stay_with_their_detections(detections: Detections) -> None:
    tracked = replace(detections, track_ids=torch.tensor([7, 5, 9]))
    for kept, ids in ((tracked.above(0.4).track_ids, [7, 5]), (tracked[-1].track_ids, [9])):
        assert kept is not None
        assert kept.tolist() == ids
    theirs = tracked.to_supervision().tracker_id
    assert theirs is not None
    assert theirs.tolist() == [7, 5, 9]
    assert detections.to_supervision().tracker_id is None
    pytest.importorskip("pandas", reason="it comes with an extra")
    assert tracked.to_dataframe().iloc[0].tolist() == [7, "toothbrush", 90, 0.75, 10, 20, 40, 60]


def test_no_detections_are_converted_too() -> None:
    nothing = Detections(
        boxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.int64), categories=CATEGORIES
    )
    assert nothing.to_coco(1) == []
    assert nothing.names == []
    assert len(nothing.to_supervision()) == 0


def test_a_target_moves_as_a_whole() -> None:
    target = Target(
        boxes=torch.zeros(2, 4), labels=torch.tensor([0, 1]), ignored=torch.zeros(1, 4), size=(480, 640)
    ).to(torch.device("meta"))
    assert {target.boxes.device.type, target.labels.device.type, target.ignored.device.type} == {"meta"}
    assert target.size == (480, 640)
