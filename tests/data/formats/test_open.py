"""A folder or a file is recognised, opened and described."""

from pathlib import Path

import pytest

from tests.data.coco_files import annotation, content, image, write
from tests.data.odgt_files import line, person
from tests.data.odgt_files import write as write_odgt
from uncrowd.data.check.dataset import check_dataset
from uncrowd.data.formats.layout import find_layout
from uncrowd.data.formats.open import open_dataset, open_split
from uncrowd.data.images.folders import split_of
from uncrowd.errors import InputError

LAYOUTS = {
    "COCO's own": {
        "train": ("annotations/instances_train2017.json", "train2017"),
        "val": ("annotations/instances_val2017.json", "val2017"),
    },
    "splits in folders": {
        "train": ("annotations/instances_train.json", "train"),
        "val": ("annotations/instances_val.json", "val"),
    },
    "one folder of images": {
        "train": ("instances_train.json", "images"),
        "val": ("instances_val.json", "images"),
        "test": ("instances_test.json", "images"),
    },
    "Roboflow": {
        "train": ("train/_annotations.coco.json", "train"),
        "val": ("valid/_annotations.coco.json", "valid"),
        "test": ("test/_annotations.coco.json", "test"),
    },
    "one file": {"train": ("labels.json", "data")},
}
CROWDHUMAN_LAYOUTS = {
    "CrowdHuman's own": {"train": ("annotation_train.odgt", "Images"), "val": ("annotation_val.odgt", "Images")},
    "one odgt file": {"train": ("annotation.odgt", "images")},
    "images beside": {"train": ("annotation.odgt", ".")},
    "archives unpacked": {
        "train": ("annotation_train.odgt", "CrowdHuman_train/Images"),
        "val": ("annotation_val.odgt", "CrowdHuman_val/Images"),
    },
    "CrowdDet": {
        "train": ("annotations/annotation_train.odgt", "Images"),
        "val": ("annotations/annotation_val.odgt", "Images"),
    },
    "named otherwise": {"train": ("train.jsonl", "train"), "val": ("val.json", "val")},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_recognised(tmp_path, name):
    for file, images in LAYOUTS[name].values():
        write(tmp_path / file, image_folder=tmp_path / images)
    splits = open_dataset(tmp_path)
    assert splits.format == "COCO JSON"
    assert {dataset.split: str(dataset.folder.relative_to(tmp_path)) for dataset in splits.present} == {
        split: images for split, (_, images) in LAYOUTS[name].items()
    }
    for split, (file, _) in LAYOUTS[name].items():
        assert getattr(splits, split).source == tmp_path / file


@pytest.mark.parametrize("name", CROWDHUMAN_LAYOUTS)
def test_layouts_of_crowdhuman_are_recognised(tmp_path, name):
    for split, (file, images) in CROWDHUMAN_LAYOUTS[name].items():
        write_odgt(tmp_path / file, [line(f"{split}1"), line(f"{split}2")], image_folder=tmp_path / images)
    splits = open_dataset(tmp_path)
    assert splits.format == "CrowdHuman odgt"
    assert {dataset.split: str(dataset.folder.relative_to(tmp_path)) for dataset in splits.present} == {
        split: images for split, (_, images) in CROWDHUMAN_LAYOUTS[name].items()
    }


def test_detections_beside_crowdhuman_s_annotations_are_none(tmp_path):
    """CrowdDet's detections repeat the ground truth, in a form of their own."""
    write_odgt(tmp_path / "annotation.odgt")
    write_odgt(tmp_path / "found.odgt", [{"ID": "a", "dtboxes": [], "gtboxes": [{"box": [1, 2, 3, 4], "tag": 1}]}])
    assert find_layout(tmp_path).files == [tmp_path / "annotation.odgt"]
    with pytest.raises(InputError, match=r"found\.odgt holds detections, not ground truth"):
        open_dataset(tmp_path / "found.odgt")


def test_the_boxes_to_read_are_passed_on_where_there_is_a_choice(tmp_path):
    write_odgt(tmp_path / "annotation.odgt", [line("a", boxes=[person(hbox=[4, 3, 2, 1])])])
    (dataset,) = open_dataset(tmp_path, box="hbox").present
    assert dataset[0].boxes.tolist() == [[4, 3, 6, 4]]
    file = write(tmp_path / "coco/a.json")
    with pytest.raises(InputError, match=r"a\.json is COCO JSON, which has no hbox.*leave --box out"):
        open_dataset(file, box="hbox")


def test_sizes_of_crowdhuman_s_images_may_be_known_from_elsewhere(tmp_path):
    layout = find_layout(write_odgt(tmp_path / "annotation.odgt", [line("a")], image_folder=None))
    with pytest.raises(InputError, match=r"size is not known \(line 1: a\)"):
        open_split(layout, "train", images_needed=False)
    dataset = open_split(layout, "train", images_needed=False, sizes={"a": (30, 40)})
    assert dataset[0].size == (30, 40)


IMAGE_INFO = {key: value for key, value in content().items() if key != "annotations"}


def test_coco_s_own_folder_has_test_images_without_annotations(tmp_path):
    folder = tmp_path / "annotations"
    for split in ("train", "val"):
        for kind in ("instances", "captions", "person_keypoints"):
            write(folder / f"{kind}_{split}2017.json", image_folder=tmp_path / f"{split}2017")
    write(folder / "image_info_test2017.json", IMAGE_INFO, image_folder=tmp_path / "test2017")
    few = IMAGE_INFO | {"images": [image(2)]}
    write(folder / "image_info_test-dev2017.json", few, image_folder=tmp_path / "test2017")
    write(folder / "image_info_unlabeled2017.json", IMAGE_INFO, image_folder=tmp_path / "unlabeled2017")
    splits = open_dataset(tmp_path)
    assert [dataset.source.name for dataset in splits.present] == [
        "instances_train2017.json",
        "instances_val2017.json",
        "image_info_test-dev2017.json",
    ]
    assert [dataset.annotated for dataset in splits.present] == [True, True, False]
    test = splits.present[-1]
    assert (test[0].path, len(test.boxes)) == (tmp_path / "test2017/2.png", 0)
    assert splits.describe().endswith("\n  test: 1 image without ground truth (image_info_test-dev2017.json)")
    assert not test.subset([0]).annotated


def test_training_does_without_the_test_images(tmp_path):
    write(tmp_path / "instances_train.json", image_folder=tmp_path / "train")
    write(
        tmp_path / "image_info_test2017.json", IMAGE_INFO | {"images": [image(9)]}, image_folder=tmp_path / "elsewhere"
    )
    splits = open_dataset(tmp_path)
    assert [(dataset.split, len(dataset)) for dataset in splits.present] == [("train", 2), ("test", 1)]
    with pytest.raises(InputError, match=r"9\.png in none of"):
        open_split(find_layout(tmp_path), "test")


def test_images_of_another_dataset_are_not_taken(tmp_path):
    """They may well have the same names."""
    write(tmp_path / "theirs_train" / "instances_train.json", image_folder=tmp_path / "theirs_train")
    ours = write(tmp_path / "ours" / "instances_train.json", image_folder=tmp_path / "moved away")
    with pytest.raises(InputError, match="in none of"):
        open_dataset(ours)


def test_images_alone_are_a_test_split_whatever_the_file_s_name(tmp_path):
    (dataset,) = open_dataset(write(tmp_path / "mine.json", IMAGE_INFO)).present
    assert (dataset.split, len(dataset), dataset.annotated) == ("test", 2, False)


@pytest.mark.parametrize("split", ["train", "val"])
def test_no_other_split_does_without_annotations(tmp_path, split):
    write(tmp_path / f"instances_{split}.json", IMAGE_INFO)
    with pytest.raises(InputError, match=r"no list of records named annotations; give a JSON file with"):
        open_dataset(tmp_path)


def test_a_single_file_is_the_training_split(tmp_path):
    file = write(tmp_path / "annotations/instances_val2017.json", image_folder=tmp_path / "val2017")
    splits = open_dataset(file)
    assert splits.train is not None
    assert (len(splits.train), splits.val, splits.test) == (2, None, None)


def test_coco_s_captions_and_keypoints_may_lie_beside(tmp_path):
    for kind in ("instances", "captions", "person_keypoints"):
        write(tmp_path / f"annotations/{kind}_train2017.json", image_folder=tmp_path / "train2017")
    (tmp_path / "annotations/detections_train.json").write_text("[]")
    assert find_layout(tmp_path).files == [tmp_path / "annotations/instances_train2017.json"]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("instances_train2017", "train"),
        ("valid", "val"),
        ("Training", "train"),
        ("testing", "test"),
        ("instances_dev", "val"),
        ("my-validation", "val"),
        ("image_info_test-dev2017", "test"),
        ("trainval", None),
        ("constrained", None),
        ("labels", None),
    ],
)
def test_splits_go_by_whole_words(name, split):
    assert split_of(name) == split


def test_the_description_says_what_was_found_and_left_out(tmp_path):
    annotations = [annotation(1, 1), annotation(2, 1, (1, 1, 0, 5)), annotation(3, 2, iscrowd=1)]
    write(tmp_path / "instances_train.json", content(annotations=annotations))
    write(tmp_path / "instances_val.json", content(images=[image(4)], annotations=[annotation(1, 4)]))
    assert open_dataset(tmp_path).describe() == (
        f"COCO JSON in {tmp_path}: 3 images, 4 boxes, 2 classes (cat, dog)\n"
        "  train: 2 images, 3 boxes of 1 class, 1 of them ignored (instances_train.json)\n"
        "    training leaves out: boxes without positive width and height: 1\n"
        "  val: 1 image, 1 box of 1 class (instances_val.json)"
    )


@pytest.mark.parametrize(
    ("categories", "sentence"),
    [
        ([{"id": 3, "name": "cow"}, {"id": 7, "name": "dog"}], r"id 3 is cat in the one and cow in the other"),
        ([{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 8, "name": "cow"}], r"id 8 is missing in the one"),
    ],
)
def test_splits_of_different_classes_are_refused(tmp_path, categories, sentence):
    write(tmp_path / "instances_train.json")
    write(tmp_path / "instances_val.json", content(categories=categories))
    with pytest.raises(InputError, match=sentence):
        open_dataset(tmp_path)


def test_classes_that_are_left_out_may_differ(tmp_path):
    write(tmp_path / "instances_train.json")
    write(tmp_path / "instances_val.json", content(categories=[{"id": 3, "name": "cat"}, {"id": 7, "name": "cow"}]))
    splits = open_dataset(tmp_path, classes=["cat"])
    assert [dataset.categories.names for dataset in splits.present] == [("cat",)] * 2
    assert check_dataset(tmp_path, classes=["cat"]).scanned.splits.describe() == splits.describe()


def test_two_files_for_one_split_are_refused(tmp_path):
    write(tmp_path / "instances_train2014.json")
    write(tmp_path / "instances_train2017.json")
    with pytest.raises(InputError, match=r"train2014\.json and .*train2017\.json could each be .* the train split"):
        open_dataset(tmp_path)


def test_a_damaged_split_is_not_passed_over(tmp_path):
    write(tmp_path / "instances_val.json")
    (tmp_path / "instances_train.json").write_text("")
    with pytest.raises(InputError, match=r"instances_train\.json is empty"):
        open_dataset(tmp_path)


def test_a_folder_without_annotations_and_no_folder_at_all(tmp_path):
    with pytest.raises(InputError, match=r"has no annotation file in it.*instances_train\.json"):
        open_dataset(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        open_dataset(tmp_path / "nowhere")


def test_a_file_one_may_not_read_is_named(tmp_path, monkeypatch):
    file = write(tmp_path / "a.json")

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError("Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"a\.json cannot be read \(Permission denied\); check its permissions"):
        open_dataset(file)
