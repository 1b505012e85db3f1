"""Detections written as COCO results are read unchanged, and other files are refused in one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from uncrowd.data.results.coco import write_coco_results
from uncrowd.data.results.file import read_detections
from uncrowd.errors import InputError
from uncrowd.structures import Categories, Detections, ImageId

CATEGORIES = Categories(ids=(3, 7), names=("person", "dog"))


def record(**changes: Any) -> dict[str, Any]:
    return {"image_id": 5, "category_id": 7, "bbox": [10, 20, 30, 40], "score": 0.5} | changes


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_ids_become_labels_and_boxes_corners(tmp_path: Path) -> None:
    path = write(tmp_path / "found.json", [record(), record(category_id=3, bbox=[1, 2, 0.5, 0], score=0.75)])
    found = read_detections(path, CATEGORIES, [5, 6])
    assert found[5].boxes.tolist() == [[1, 2, 1.5, 2], [10, 20, 40, 60]]  # best first
    assert found[5].labels.tolist() == [0, 1]
    assert found[5].names == ["person", "dog"]
    assert len(found[6]) == 0  # an image the file does not mention


def test_equal_scores_keep_the_order_of_the_file(tmp_path: Path) -> None:
    records = [record(image_id=5 + n % 2, bbox=[n, 0, 1, 1], score=[0.5, 0.9][n // 4 % 2]) for n in range(12)]
    found = read_detections(write(tmp_path / "found.json", records), CATEGORIES, [6, 5])
    assert found[5].boxes[:, 0].tolist() == [4, 6, 0, 2, 8, 10]
    assert found[6].boxes[:, 0].tolist() == [5, 7, 1, 3, 9, 11]


def test_other_keys_are_ignored(tmp_path: Path) -> None:
    path = write(tmp_path / "found.json", [record(id=1, area=3.5, segmentation={"size": [4, 4], "counts": "abc"})])
    assert read_detections(path, CATEGORIES, [5])[5].scores.tolist() == [0.5]


def test_image_ids_may_be_numbers_or_text(tmp_path: Path) -> None:
    path = write(tmp_path / "found.json", [record(image_id=12), record(image_id="13"), record(image_id=14.0)])
    found = read_detections(path, CATEGORIES, ["12", 13, 14])
    assert [len(found[id]) for id in ("12", 13, 14)] == [1, 1, 1]


def test_classes_may_be_numbers_written_as_text(tmp_path: Path) -> None:
    path = write(tmp_path / "found.json", [record(category_id="7"), record(category_id=3.0, score=0.4)])
    assert read_detections(path, CATEGORIES, [5])[5].labels.tolist() == [1, 0]


FILE_NAMES = ["a/x.jpg", "a/y.jpg", "b/y.jpg", "b/12.jpg"]


@pytest.mark.parametrize(
    ("named", "counts"),
    [
        (["x", "x", "a/y.jpg", 12], [2, 1, 0, 1]),
        (["x.jpg", "c/12.jpg"], [1, 0, 0, 1]),
        (["1", "2", 3], [1, 1, 1, 0]),  # ids
        ([1, 4], [1, 0, 0, 1]),
    ],
)
def test_images_may_be_named_by_their_files(tmp_path: Path, named: list[Any], counts: list[int]) -> None:
    path = write(tmp_path / "found.json", [record(image_id=name) for name in named])
    found = read_detections(path, CATEGORIES, [1, 2, 3, 4], FILE_NAMES)
    assert [len(found[id]) for id in (1, 2, 3, 4)] == counts


@pytest.mark.parametrize(
    "named", [["x", "y"], ["x", 1], ["x", "z.jpg"], ["x", "c/x.jpg"]], ids=["of two", "id", "of none", "twice"]
)
def test_ambiguous_file_names_are_refused(tmp_path: Path, named: list[Any]) -> None:
    path = write(tmp_path / "found.json", [record(image_id=name) for name in named])
    with pytest.raises(InputError, match="record 0 has the image_id 'x'"):
        read_detections(path, CATEGORIES, [1, 2, 3, 4], FILE_NAMES)


def test_files_without_detections_and_datasets_without_images_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "found.json", [])
    assert len(read_detections(path, CATEGORIES, [5])[5]) == 0
    assert read_detections(path, CATEGORIES, []) == {}


coordinates = st.floats(-1e4, 1e4, width=32)


@settings(max_examples=40, deadline=None)
@given(
    images=st.dictionaries(
        st.integers() | st.text("abc/. é", min_size=1),
        st.lists(
            st.tuples(coordinates, coordinates, st.floats(0, 1e4, width=32), st.floats(0, 1, width=32), st.booleans())
        ),
        max_size=4,
    )
)
def test_written_and_read_again_is_the_same_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, images: dict[ImageId, list[tuple[float, float, float, float, bool]]]
) -> None:
    path = tmp_path_factory.mktemp("results") / "found.json"
    detections = {}
    for id, rows in images.items():
        rows = sorted(rows, key=lambda row: -row[3])
        corner = torch.tensor([[x, y] for x, y, *_ in rows]).reshape(-1, 2)
        size = torch.tensor([[side, side] for _, _, side, *_ in rows]).reshape(-1, 2)
        detections[id] = Detections(
            boxes=torch.cat([corner, corner + size], dim=1),
            scores=torch.tensor([score for *_, score, _ in rows]),
            labels=torch.tensor([int(dog) for *_, dog in rows], dtype=torch.int64),
            categories=CATEGORIES,
        )
    write_coco_results(path, detections)
    again = read_detections(path, CATEGORIES, list(detections))
    assert again.keys() == detections.keys()
    for id, found in detections.items():
        torch.testing.assert_close(again[id].boxes, found.boxes.double(), rtol=0, atol=1e-11)
        assert torch.equal(again[id].scores, found.scores.double())
        assert torch.equal(again[id].labels, found.labels)
    assert [file.name for file in path.parent.iterdir()] == ["found.json"]  # no temporary file is left


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = write(tmp_path / "found.json", [record()])
    broken = Detections(
        boxes=torch.tensor([[0, 0, 1, 1], [0, 0, 1, float("nan")]]),
        scores=torch.tensor([0.5, 0.4]),
        labels=torch.tensor([0, 0]),
        categories=CATEGORIES,
    )
    with pytest.raises(ValueError, match="JSON"):
        write_coco_results(path, {5: broken})
    assert json.loads(path.read_text()) == [record()]
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match=r"missing.found\.json cannot be written: No such file"):
        write_coco_results(tmp_path / "missing" / "found.json", {})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.json cannot be read: No such file"):
        read_detections(tmp_path / "absent.json", CATEGORIES, [5])
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_detections(tmp_path, CATEGORIES, [5])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (json.dumps([record(), record()])[:-9], "not a complete JSON"),
        ("", "not a complete JSON"),
        ("[" * 100_000, "not a complete JSON"),
        ({"images": [], "annotations": [], "categories": []}, "ground-truth file"),
        (
            {"images": [], "annotations": [record()], "categories": []},
            "is a dataset with scores, as `uncrowd",
        ),
        (
            [{"image": "a.jpg", "detections": []}],
            "what `uncrowd predict` found, .*; score the detector itself",
        ),
        ({"detections": [record()]}, "not a list of detections"),
        (record(), "not a list of detections"),
        ("3", "not a list of detections"),
        ([record(), {"image_id": 5, "category_id": 7, "score": 1}], "record 1 is not a detection: it lacks bbox"),
        ([record(), 17], "record 1 is not a detection: it lacks image_id, category_id, bbox, score"),
        ([record(), None], "2 records, but they hold 1 detections"),
        ([record(), record(image_id=99), record(image_id=98)], "record 1 has the image_id 99, one of 2 .* are 5, 6"),
        ([record(image_id=None)], "record 0 has an image_id or category_id that is neither"),
        ([record(category_id=[7])], "record 0 has an image_id or category_id that is neither"),
        ([record(image_id=True)], "record 0 has an image_id or category_id that is neither"),
        ([record(), record(category_id=1)], "record 1 has the category_id 1, one of 1 .* ids are 3, 7"),
        (
            [record(category_id="dog")],
            "category_id 'dog', which is not a whole number; the dataset's ids are 3, 7",
        ),
        ([record(score=True)], r"record 0 has a bbox or score that is not a number: \[10, 20, 30, 40\], True"),
        ([record(bbox=[0, 0, True, 1])], "record 0 has a bbox or score that is not a number"),
        ([record(), record(score=float("nan"))], "record 1 .*score that is not finite"),
        ([record(score=None)], "record 0 has a bbox or score that is not a number"),
        ([record(bbox=[0, 0, float("inf"), 1])], "record 0 .*bbox that is not finite"),
        ([record(bbox=[0, 0, 10**400, 1])], "record 0 has a bbox or score that is not a number"),
        ([record(bbox=[1e308, 0, 1e308, 1])], "record 0 .*bbox that is not finite"),  # its far corner
        ([record(bbox=[0, 0, 1])], "record 0 has the bbox .* instead of four numbers"),
        ([record(bbox=[0, 0, 1, "2"])], "record 0 has a bbox or score that is not a number"),
        ([record(), record(bbox=[30, 40, -10, 20])], r"record 1 .*\[x, y, width, height\] with a negative width"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, content: Any, sentence: str) -> None:
    path = write(tmp_path / "found.json", content)
    with pytest.raises(InputError, match=sentence) as error:
        read_detections(path, CATEGORIES, [5, 6])
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


numbers = st.integers() | st.floats() | st.integers(0, 9)
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["bbox", "score", "ID", "x"]), inner),
    max_leaves=5,
)
records = st.fixed_dictionaries(
    {
        "image_id": st.just(5) | anything,
        "category_id": st.just(7) | anything,
        "bbox": st.lists(numbers, min_size=4, max_size=4) | anything,
        "score": st.floats(0, 1) | anything,
    }
)


@settings(max_examples=300, deadline=None)
@given(content=st.lists(records | anything, max_size=3) | anything)
def test_any_json_is_read_completely_or_refused(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    path = write(tmp_path_factory.getbasetemp() / "anything.json", content)
    found, refusal = {}, ""
    try:
        found = read_detections(path, CATEGORIES, [5, 6])
    except InputError as error:
        refusal = str(error)
    if refusal:
        assert str(path) in refusal
        assert "\n" not in refusal
        return
    assert sum(map(len, found.values())) == len(content)  # nothing is lost
    for one in found.values():
        assert torch.isfinite(one.boxes).all()
        assert torch.isfinite(one.scores).all()
        assert (one.boxes[:, 2:] >= one.boxes[:, :2]).all()
        assert (one.scores.diff() <= 0).all()  # best first
