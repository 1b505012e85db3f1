"""A class map keeps and merges classes, in datasets and in detections alike."""

from pathlib import Path

import pytest
import torch

from tests.data.coco_files import annotation, content, image, write
from uncrowd.data.check.dataset import check, scan
from uncrowd.data.classes import class_map, keep_classes_of, split_names, unquoted
from uncrowd.data.formats.layout import find_layout
from uncrowd.data.formats.open import open_dataset
from uncrowd.errors import InputError
from uncrowd.structures import Categories, Detections

CATEGORIES = [{"id": id, "name": name} for id, name in ((1, "car"), (4, "pedestrian"), (6, "rider"), (9, "sign"))]


@pytest.fixture
def street(tmp_path):
    """Two images: one with an object of each class, one with a sign."""
    annotations = [annotation(n, 1, (n, n, 9, 9), category["id"]) for n, category in enumerate(CATEGORIES)]
    annotations.append(annotation(9, 2, (5, 5, 9, 9), 9))
    return write(tmp_path / "street.json", content([image(1), image(2)], annotations, CATEGORIES))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["person=pedestrian,rider", "car"], {"person": ("pedestrian", "rider"), "car": ("car",)}),
        ({"person": ["pedestrian", "rider"]}, {"person": ("pedestrian", "rider")}),
        ({"vehicle": "car"}, {"vehicle": ("car",)}),
        ("car", {"car": ("car",)}),
        (["people = rider"], {"people": ("rider",)}),
        (['"a=b"="c, d",e', '"f ""g"""', '"h'], {"a=b": ("c, d", "e"), 'f "g"': ('f "g"',), '"h': ('"h',)}),
        (["traffic light=sign, traffic cone"], {"traffic light": ("sign", "traffic cone")}),
    ],
)
def test_how_a_class_map_is_given(given, expected):
    assert class_map(given) == expected


def test_double_quotes_keep_a_name_together():
    assert split_names('person, "dog, small",,cat=big') == ("person", "dog, small", "cat=big")
    assert [unquoted(text) for text in ('"a=b"', 'a "b"', " a ")] == ["a=b", 'a "b"', " a "]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], r"has an empty name; write person=pedestrian,rider or car"),
        (["person="], r"has an empty name"),
        (["=car"], r"has an empty name"),
        (["car", "car"], r"class car is given twice"),
        (["car", "vehicle=car"], r"class car is given twice"),
    ],
)
def test_class_maps_that_say_nothing_are_refused(given, sentence):
    with pytest.raises(InputError, match=sentence):
        class_map(given)


def test_a_dataset_has_the_classes_of_the_map_alone(street):
    (dataset,) = open_dataset(street, classes=["person=pedestrian,rider", "car"]).present
    assert (dataset.categories.ids, dataset.categories.names) == ((4, 1), ("person", "car"))
    assert dataset.counts.tolist() == [3, 0]  # images stay
    assert dataset[0].labels.tolist() == [1, 0, 0]
    assert dataset[0].boxes[:, 0].tolist() == [0, 1, 2]
    (everything,) = open_dataset(street).present
    assert everything.counts.tolist() == [4, 1]


def test_unknown_classes_are_refused_with_those_there_are(street):
    for action in (
        lambda: open_dataset(street, classes=["peds=pedestrians"]),
        lambda: scan(find_layout(street), classes={"peds": ["pedestrians"]}),
    ):
        with pytest.raises(InputError, match=r"no class pedestrians; the nearest is pedestrian; it has car, pedest"):
            action()


def test_check_checks_what_training_would_use(street):
    checked = check(scan(find_layout(street), classes={"car": ["car"]}))
    (dataset,) = checked.scanned.splits.present
    assert (len(dataset.boxes), dataset.categories.names) == (1, ("car",))


def test_detections_are_kept_and_merged_alike():
    before = Categories(ids=(1, 4, 6, 9), names=("car", "pedestrian", "rider", "sign"))
    detections = Detections(
        boxes=torch.arange(16.0).reshape(4, 4),
        scores=torch.tensor([0.9, 0.8, 0.7, 0.6]),
        labels=torch.tensor([3, 2, 0, 1]),
        categories=before,
    )
    kept = keep_classes_of(detections, {"person": ("pedestrian", "rider"), "car": ("car",)}, Path("street.json"))
    assert kept.names == ["person", "car", "person"]
    assert kept.scores.tolist() == pytest.approx([0.8, 0.7, 0.6])
    assert kept.boxes[:, 0].tolist() == [4, 8, 12]
