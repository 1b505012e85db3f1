"""COCO files: what is read, what is counted and left out, and what is refused, each with one sentence."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.coco_files import HEIGHT, WIDTH, annotation, content, image, write
from uncrowd.data.formats.coco import read_coco, scan_coco
from uncrowd.data.formats.records import NO_AREA, NOT_FINITE, OUTSIDE, REVERSED, judge_box
from uncrowd.errors import InputError


def test_a_file_becomes_a_dataset(tmp_path):
    annotations = [
        annotation(1, 2, (1.5, 2, 30, 20.25), category_id=7, area=411.5),
        annotation(2, 1, (0, 0, 10, 10), category_id=3),
        annotation(3, 2, (5, 6, 7, 8), category_id=3, iscrowd=1),
    ]
    file = write(tmp_path / "a.json", content(annotations=annotations))
    dataset = read_coco(file, split="val")

    assert (dataset.source, dataset.split, dataset.folder) == (file, "val", tmp_path)
    assert dataset.categories.ids == (3, 7)  # in the order of the ids, whatever the file's
    assert dataset.categories.names == ("cat", "dog")
    assert dataset.ids.tolist() == [1, 2]
    second = dataset[1]
    assert (second.path, second.size) == (tmp_path / "2.png", (HEIGHT, WIDTH))
    assert second.boxes.tolist() == [[1.5, 2, 31.5, 22.25], [5, 6, 12, 14]]  # xywh -> xyxy
    assert second.labels.tolist() == [1, 0]
    assert second.ignore.tolist() == [False, True]
    assert second.areas.tolist() == [411.5, 56]  # the file's, else width times height
    assert dataset.skipped == {}


@pytest.mark.parametrize("used", [False, True], ids=["without objects", "with objects"])
def test_a_category_that_groups_one_of_the_same_name_is_no_class(tmp_path, used):
    """As Roboflow writes it. With objects it is one, and two classes of one name are refused."""
    categories = [
        {"id": 0, "name": "cat", "supercategory": "none"},
        {"id": 3, "name": "cat", "supercategory": "cat"},
        {"id": 7, "name": "dog", "supercategory": "cat"},
    ]
    parts = content(categories=categories)
    parts["annotations"] += [annotation(3, 1, category_id=0)] * used
    dataset, problems = scan_coco(write(tmp_path / "a.json", parts))
    (told,) = problems.findings()
    if used:
        assert told.kind == "duplicate class name"
    else:
        assert (dataset.categories.names, dataset.labels.tolist()) == (("cat", "dog"), [0, 1])
        assert (told.kind, list(told.examples)) == ("category named as its group", ["id 0: cat"])


def test_a_category_that_groups_others_may_have_objects_in_another_split(tmp_path):
    categories = [
        {"id": 0, "name": "animal", "supercategory": "none"},
        {"id": 3, "name": "cat", "supercategory": "animal"},
        {"id": 7, "name": "none", "supercategory": "none"},
    ]
    dataset, problems = scan_coco(write(tmp_path / "a.json", content(categories=categories)))
    assert dataset.categories.names == ("animal", "cat", "none")
    assert problems.findings() == []


@pytest.mark.parametrize(
    ("iscrowd", "crowd"), [(1, True), ("1", True), (True, True), ("yes", True), (0, False), ("0", False), (None, False)]
)
def test_a_crowd_is_one_however_it_is_marked(tmp_path, iscrowd, crowd):
    file = write(tmp_path / "a.json", content(annotations=[annotation(1, 1, iscrowd=iscrowd)]))
    assert read_coco(file).ignore.tolist() == [crowd]


@pytest.mark.parametrize("image_id", [int, float, str])
@pytest.mark.parametrize("listed", [int, float, str])
def test_ids_of_either_type_mean_the_same(tmp_path, listed, image_id):
    parts = content(
        images=[image(listed(id), file_name=f"{id}.png") for id in (1, 2)],
        annotations=[annotation(1, image_id(2) if listed is not str else "2", category_id=str(7))],
        categories=[{"id": listed(7), "name": "dog"}, {"id": listed(3), "name": "cat"}],
    )
    dataset, problems = scan_coco(write(tmp_path / "a.json", parts))
    assert dataset.ids.tolist() == (["1", "2"] if listed is str else [1, 2])
    assert (dataset.categories.ids, dataset[1].labels.tolist()) == ((3, 7), [1])
    assert [finding.kind for finding in problems.findings()] == ["id of another type"]  # a class id as text


def test_sides_may_be_text(tmp_path):
    file = write(tmp_path / "a.json", content(images=[image(1, width="64", height="48.0"), image(2)]))
    assert read_coco(file)[0].size == (HEIGHT, WIDTH)


@pytest.mark.parametrize("area", [-5, "600", math.nan, True, 0])
def test_an_area_that_is_none_is_that_of_the_box_and_is_said(tmp_path, area):
    dataset, problems = scan_coco(write(tmp_path / "a.json", content(annotations=[annotation(1, 1, area=area)])))
    assert dataset.areas.tolist() == [600]
    assert [finding.kind for finding in problems.findings()] == ["no area"]


@pytest.mark.parametrize(("ignore", "noted"), [(1, True), ("yes", True), (2, True), (0, False), (False, False)])
def test_an_ignore_key_is_noted_and_changes_nothing(tmp_path, ignore, noted):
    dataset, problems = scan_coco(write(tmp_path / "a.json", content(annotations=[annotation(1, 1, ignore=ignore)])))
    assert dataset.ignore.tolist() == [False]
    assert ["ignore key"] * noted == [finding.kind for finding in problems.findings()]


def test_images_without_boxes_stay(tmp_path):
    dataset = read_coco(write(tmp_path / "a.json", content(annotations=[annotation(1, 2)])))
    assert dataset.counts.tolist() == [0, 1]
    assert dataset[0].boxes.shape == (0, 4)


def test_a_dataset_without_any_box_is_read(tmp_path):
    dataset = read_coco(write(tmp_path / "a.json", content(annotations=[])))
    assert len(dataset) == 2
    assert dataset.boxes.shape == (0, 4)


def test_images_may_have_names_for_ids(tmp_path):
    data = content(images=[image("x1"), image("x2")], annotations=[annotation(1, "x2")])
    dataset = read_coco(write(tmp_path / "a.json", data))
    assert dataset[1].id == "x2"
    assert dataset.counts.tolist() == [0, 1]


def test_boxes_that_reach_outside_are_not_clipped_here(tmp_path):
    data = content(annotations=[annotation(1, 1, (-5, -5, 10, 100)), annotation(2, 1, (WIDTH - 1, HEIGHT - 1, 9, 9))])
    dataset = read_coco(write(tmp_path / "a.json", data))
    assert dataset[0].boxes.tolist() == [[-5, -5, 5, 95], [WIDTH - 1, HEIGHT - 1, WIDTH + 8, HEIGHT + 8]]


@pytest.mark.parametrize(
    ("bbox", "reason"),
    [
        ((1, 1, 0, 5), "boxes without positive width and height"),
        ((1, 1, 5, -3), "boxes with a negative width or height"),
        ((1, math.nan, 5, 5), "boxes with a NaN or infinite number"),
        ((1, 1, math.inf, 5), "boxes with a NaN or infinite number"),
        ((1, 1, 10**400, 5), "boxes with a NaN or infinite number"),
        ((WIDTH, 1, 5, 5), "boxes fully outside their image"),
        ((1, HEIGHT, 5, 5), "boxes fully outside their image"),
        ((1, -9, 5, 9), "boxes fully outside their image"),
        ((1, 1, 5), "annotations whose bbox is not four numbers"),
        ((1, 1, "five", 5), "annotations whose bbox is not four numbers"),
        ((1, 1, True, 5), "annotations whose bbox is not four numbers"),
        (None, "annotations whose bbox is not four numbers"),
    ],
)
def test_boxes_that_cannot_be_trained_on_are_counted(tmp_path, bbox, reason):
    data = content(annotations=[annotation(1, 1, bbox), annotation(2, 1)])
    dataset = read_coco(write(tmp_path / "a.json", data))
    assert dataset.boxes[-1].tolist() == [1, 2, 31, 22]
    assert dataset.skipped == {reason: 1}


@pytest.mark.parametrize(
    ("bbox", "kept"),
    [
        ((1, 1, 0, 5), True),
        ((WIDTH, 1, 5, 5), True),
        ((1, 1, -2, 5), False),
        ((1, math.nan, 5, 5), False),
        ((1, 1, 5), False),
    ],
    ids=["no area", "outside", "negative", "NaN", "three numbers"],
)
def test_boxes_that_coco_scores_as_missed_objects_are_kept_for_scoring(tmp_path, bbox, kept):
    dataset = read_coco(write(tmp_path / "a.json", content(annotations=[annotation(1, 1, bbox), annotation(2, 1)])))
    assert len(dataset.boxes) == 1 + kept


FOUR_NUMBERS = st.tuples(*[st.floats(-100, 100) | st.sampled_from([0.0, math.nan, math.inf, 1e300, -1e300])] * 4)


@given(box=FOUR_NUMBERS)
def test_a_box_is_usable_exactly_when_part_of_it_is_in_the_image(box):
    verdict = judge_box(box, (HEIGHT, WIDTH))
    if not np.isfinite(box).all():
        assert verdict is NOT_FINITE
    elif box[2] < box[0] or box[3] < box[1]:
        assert verdict is REVERSED
    elif box[2] == box[0] or box[3] == box[1]:
        assert verdict is NO_AREA
    else:
        inside = np.clip(box, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
        assert (verdict is None) == (inside[2] > inside[0] and inside[3] > inside[1])
        assert verdict in (None, OUTSIDE)


def same_size(**changes):
    return [image(1), image(2, **changes)]


REFUSED = {
    "unknown class": (
        {"annotations": [annotation(5, 1, category_id=9)]},
        r"category_id that `categories` does not list \(annotation 5 of image 1: category_id 9\); add the category",
    ),
    "no class": ({"annotations": [annotation(5, 1, category_id=None)]}, r"annotation 5 of image 1: category_id None"),
    "unknown image": (
        {"annotations": [annotation(5, 99)]},
        r"image_id that `images` does not list \(annotation 5: image_id 99\); add the image's record",
    ),
    "id of no image": ({"annotations": [annotation(5, "a.png")]}, r"annotation 5: image_id 'a\.png'"),
    "id that is no id": ({"annotations": [annotation(5, [1])]}, r"annotation 5: image_id \[1\]"),
    "unclear crowd": (
        {"annotations": [annotation(5, 1, iscrowd=2), annotation(6, 1, iscrowd="maybe")]},
        r"neither 0 nor 1 \(annotation 5 of image 1: iscrowd 2, annotation 6 .*'maybe'\); write 1 for a crowd",
    ),
    "duplicate image": (
        {"images": [image(1), image(1, file_name="b.png")]},
        r"image records that share one id \(id 1: 1\.png and b\.png\); give each image an id of its own",
    ),
    "mixed ids": ({"images": [image(1), image("a")], "annotations": []}, r"'a' and 1\); use one type"),
    "duplicate class": (
        {"categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 3, "name": "cow"}]},
        r"categories that share one id \(id 3: cat and cow\); give each category an id of its own",
    ),
    "duplicate name": (
        {"categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "cat"}]},
        r"categories that share one name \(cat: id 3 and id 7\); rename one",
    ),
    "names alike": (
        {"categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "cat "}]},
        r"categories that share one name \(cat : id 3 and id 7\)",
    ),
    "blank name": ({"categories": [{"id": 3, "name": " "}, {"id": 7, "name": "dog"}]}, r"id 3, name ' '\); give each"),
    "half a character": (
        {"categories": [{"id": 3, "name": "c\ud800t"}, {"id": 7, "name": "dog"}]},
        r"number 1 of the list: id 3, name 'c\\ud800t'\); give each category both",
    ),
    "id with half a character": (
        {"images": [image("\ud800", file_name="1.png")], "annotations": []},
        r"number 1 of the list: id \\ud800|number 1 of the list: id '\\ud800'",
    ),
    "class without a name": ({"categories": [{"id": 3}, {"id": 7, "name": "dog"}]}, r"number 1 of the list: id 3"),
    "no classes": ({"categories": [], "annotations": []}, r"an empty list of categories .*; add a category"),
    "no images": ({"images": [], "annotations": []}, r"an empty list of images .*; add a record"),
    "no file name": ({"images": same_size(file_name=None)}, r"number 2 of the list: id 2, file_name None, width 64"),
    "endless file name": ({"images": same_size(file_name="a" * 2000)}, r"number 2 .*no name is longer than 1024"),
    "endless id": ({"images": [image("1"), image("1" * 2000, file_name="2.png")]}, r"number 2 of the list: id '1{900}"),
    "no width": ({"images": same_size(width=None)}, r"number 2 .* width None, height 48\); fill them in"),
    "height 0": ({"images": same_size(height=0)}, r"number 2 .* height 0"),
    "half a pixel": ({"images": same_size(height=47.5)}, r"number 2 .* height 47\.5"),
    "id beyond 64 bits": ({"images": [image(1), image(2**70, file_name="b.png")]}, r"number 2 of the list"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_training_would_get_wrong_is_refused(tmp_path, name):
    parts, sentence = REFUSED[name]
    write(tmp_path / "a.json")  # draws the images
    (tmp_path / "a.json").write_text(json.dumps(content(**parts)))
    with pytest.raises(InputError, match=sentence) as caught:
        read_coco(tmp_path / "a.json")
    assert str(caught.value).startswith(str(tmp_path / "a.json"))
    assert "\n" not in str(caught.value)


def test_what_refers_to_a_bad_record_is_no_second_mistake(tmp_path):
    write(tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps(content(images=same_size(width=None))))
    dataset, problems = scan_coco(tmp_path / "a.json")
    assert [finding.kind for finding in problems.findings()] == ["incomplete image record"]
    assert dataset.ids.tolist() == [1]


def test_sizes_may_be_written_as_floats(tmp_path):
    dataset = read_coco(write(tmp_path / "a.json", content(images=same_size(width=64.0))))
    assert dataset[1].size == (48, 64)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (json.dumps(content(), indent=1)[:-200], r"a\.json is cut off or damaged at line \d+, column \d+ .*again\.$"),
        ("", r"a\.json is empty; copy or export it again\.$"),
        ("[" * 100_000, r"a\.json (cannot be read as JSON|is cut off)"),
        (json.dumps([{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}]), r"holds detections, not"),
        (json.dumps([{"image": "a.jpg", "detections": []}]), r"holds detections, not"),
        (
            '{"images": [], "annotations": [], "images": []}',
            r"\(the key 'images' is given twice\); check the path",
        ),
        (json.dumps({"images": [], "annotations": []}), r"no list of records named categories; give a JSON file with"),
        (json.dumps({"images": {}, "annotations": [3], "categories": []}), r"named images or annotations"),
        ("[]", r"is not a COCO annotation file"),
    ],
)
def test_what_is_no_coco_file_is_refused(tmp_path, text, sentence):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_coco(tmp_path / "a.json")


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"nowhere\.json cannot be read as JSON .*No such file.*; check the path"):
        read_coco(Path("nowhere.json"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write(tmp_path_factory.mktemp("sound") / "a.json")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_is_read_or_refused_but_never_anything_else(sound, data):
    text = bytearray(sound.read_bytes())
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    damaged = sound.with_name("damaged.json")
    damaged.write_bytes(text)
    try:
        dataset = read_coco(damaged)
    except InputError:
        return
    assert len(dataset) == 2
    assert len(dataset.boxes) + sum(dataset.skipped.values()) >= 2  # nothing is lost


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("a.json", "."),
        ("a.json", "images"),
        ("instances_train.json", "images"),
        ("annotations/instances_train2017.json", "train2017"),
        ("annotations/instances_train.json", "train"),
        ("annotations/instances_train.json", "images/train"),
        ("annotations/a.json", "images"),
        ("annotations/a.json", "."),
        ("labels.json", "data"),
    ],
)
def test_the_images_are_found(tmp_path, file, images):
    write(tmp_path / file, image_folder=tmp_path / images)
    assert read_coco(tmp_path / file).folder == tmp_path / images


def test_the_split_s_own_folder_wins_over_another_with_the_same_names(tmp_path):
    write(tmp_path / "annotations/instances_train.json", image_folder=tmp_path / "train")
    write(tmp_path / "annotations/instances_val.json", image_folder=tmp_path / "val")
    assert read_coco(tmp_path / "annotations/instances_val.json").folder == tmp_path / "val"


def test_one_missing_image_does_not_hide_the_folder(tmp_path):
    write(tmp_path / "a.json", image_folder=tmp_path / "images")
    (tmp_path / "images/1.png").unlink()
    assert read_coco(tmp_path / "a.json").folder == tmp_path / "images"


def test_images_that_are_nowhere_are_refused_with_the_folders_searched(tmp_path):
    write(tmp_path / "a.json", image_folder=tmp_path / "pngs")
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match=rf"1\.png in none of {tmp_path}, {tmp_path}/images, .*; put the images"):
        read_coco(tmp_path / "a.json")
