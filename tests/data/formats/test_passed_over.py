"""Whatever lies in a dataset's folder is read, or what it is and why it is not read is said by name."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.coco_files import content, image, write
from tests.data.odgt_files import write as write_odgt
from tests.data.variants import clean
from uncrowd.data.check.dataset import scan
from uncrowd.data.formats.crowdhuman import read_odgt
from uncrowd.data.formats.layout import find_layout
from uncrowd.data.formats.open import open_dataset
from uncrowd.errors import InputError

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("training/annotations.json", "validation/annotations.json"),
        ("training/a.json", "dev/a.json"),
        ("Annotations/instances_train.json", "Annotations/instances_val.json"),
        ("ANNOTATIONS/instances_train.json", "ANNOTATIONS/instances_dev.json"),
        ("instances_train.json", "valid/annotations.json"),
        ("annotations/instances_train.json", "instances_val.json"),
    ],
)
def test_every_split_is_found(tmp_path, train, val):
    for split, file in (("train", train), ("val", val)):
        write(tmp_path / file, content(images=[image(f"{split}{n}") for n in (1, 2)], annotations=[]))
    splits = open_dataset(tmp_path)
    assert [(dataset.split, dataset.ids.tolist()) for dataset in splits.present] == [
        ("train", ["train1", "train2"]),
        ("val", ["val1", "val2"]),
    ]
    assert splits.not_read == ()


def test_images_are_found_in_folders_named_with_capitals(tmp_path):
    for split in ("train", "val"):
        write(tmp_path / f"Annotations/instances_{split}.json", image_folder=tmp_path / "Images" / split)
    assert [dataset.folder for dataset in open_dataset(tmp_path).present] == [
        tmp_path / "Images/train",
        tmp_path / "Images/val",
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_the_encoding_of_a_file_makes_no_difference(tmp_path, encoding):
    file = clean(tmp_path) / "annotations.json"
    expected = open_dataset(tmp_path).present[0]
    file.write_text(json.dumps(json.loads(file.read_text()), ensure_ascii=False), encoding=encoding)
    for path in (tmp_path, file):
        (dataset,) = open_dataset(path).present
        assert dataset.split == "train"
        assert dataset.file_names.tolist() == expected.file_names.tolist()
        assert np.array_equal(dataset.boxes, expected.boxes)


# What is in annotations.json -> how the sentence goes on after the name of the file.
BROKEN = {
    "": r"is empty; copy or export it again",
    "\0\0\0\n": r"is empty",
    LFS: r"is a Git LFS pointer in place of the file; run `git lfs pull`",
    "<!DOCTYPE html><html><body>Sign in</body></html>": r"is an HTML page, .*; download the file itself",
    "PK\x03\x04": r"is a packed archive; unpack it",
    json.dumps(content())[:-40]: r"is cut off or damaged at line 1, column \d+ \(.*\); copy or export it again",
    "[" * 50_000: r"cannot be read as JSON|is cut off",
}


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_is_named_in_a_folder_and_alone(tmp_path, text):
    (clean(tmp_path) / "annotations.json").write_text(text)
    # What is cut off is still seen to be COCO JSON, and the reader refuses it.
    with pytest.raises(InputError, match=rf"annotations\.json ({BROKEN[text]})") as caught:
        open_dataset(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=rf"annotations\.json ({BROKEN[text]})"):
        open_dataset(tmp_path / "annotations.json")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", r"is a list, not an object with lists of images, annotations and categories; export it as COCO JSON"),
        ('{"scripts": {}}', r"has no lists of images, annotations and categories"),
    ],
)
def test_json_of_another_kind_is_named(tmp_path, text, why):
    (clean(tmp_path) / "annotations.json").write_text(text)
    with pytest.raises(InputError, match=rf"no annotation file that can be read: annotations\.json {why}"):
        open_dataset(tmp_path)
    with pytest.raises(InputError, match=r"annotations\.json is not a COCO annotation file"):
        open_dataset(tmp_path / "annotations.json")


FOREIGN = {
    "labelme's JSON": ("images/1.json", '{"version": "5", "shapes": [], "imagePath": "1.png"}'),
    "VIA's JSON": ("via.json", '{"1.png1": {"filename": "1.png", "regions": [{"shape_attributes": {"x": 1}}]}}'),
    "Supervisely's JSON": ("ds/ann/1.png.json", '{"size": {}, "objects": [{"classTitle": "cat"}]}'),
    "Label Studio's JSON": ("export.json", '[{"data": {"image": "1.png"}, "annotations": [{"result": []}]}]'),
    "CreateML's JSON": ("train.json", '[{"image": "1.png", "annotations": [{"coordinates": {"x": 1}}]}]'),
    "CSV": ("labels.csv", "filename,xmin,ymin,xmax,ymax,class\n1.png,1,2,3,4,cat\n"),
    "YOLO's text": ("labels/train/1.txt", "0 0.5 0.5 0.25 0.25\n1 0.1 0.2 0.1 1e-2\n"),
    "CVAT's XML": ("annotations.xml", '<?xml version="1.0"?><annotations><image id="0"></image></annotations>'),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_formats_of_other_tools_are_named(tmp_path, name):
    path, text = FOREIGN[name]
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    (tmp_path / "README.txt").write_text("Two dogs, see the paper.\n")
    for given in (tmp_path, file):
        with pytest.raises(
            InputError, match=rf"{path} looks like {name}, (but only COCO JSON, CrowdHuman odgt, YOLO|the boxes of)"
        ):
            open_dataset(given)


def test_a_damaged_split_is_an_error_and_the_other_is_still_checked(tmp_path):
    write(tmp_path / "train.json")
    (tmp_path / "val.json").write_text(LFS)
    with pytest.raises(InputError, match=r"val\.json is a Git LFS pointer"):
        open_dataset(tmp_path)
    scanned = scan(find_layout(tmp_path))
    assert [dataset.split for dataset in scanned.splits.present] == ["train"]
    assert [(finding.split, finding.severity) for finding in scanned.refused] == [("val", "error")]


def test_a_split_that_is_left_out_is_said(tmp_path):
    write(tmp_path / "instances_train.json", image_folder=tmp_path / "train2017")
    (tmp_path / "valid").mkdir()
    (tmp_path / "valid/labels.json").write_text("[]")
    (tmp_path / "testing").mkdir()
    splits = open_dataset(tmp_path)
    assert splits.not_read == (
        "testing/ has no annotation file in it",
        "valid/labels.json is a list, not an object with lists of images, annotations and categories; export it as "
        "COCO JSON",
    )
    for text in (splits.describe(), splits.outline()):
        assert text.endswith("\n" + "\n".join(f"  not read: {sentence}" for sentence in splits.not_read))


def test_junk_is_passed_over(tmp_path):
    clean(tmp_path)
    for name in ("._annotations.json", "__MACOSX/train/a.json", "valid/._a.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "valid/._a.json").unlink()
    (tmp_path / "valid").rmdir()
    splits = open_dataset(tmp_path)
    assert ([len(dataset) for dataset in splits.present], splits.not_read) == ([6], ())


def test_links_that_lead_nowhere_are_named(tmp_path):
    write(tmp_path / "data/instances_train.json")
    loop, lost = tmp_path / "data/loop", tmp_path / "data/instances_val.json"
    loop.symlink_to(loop)
    lost.symlink_to(tmp_path / "nowhere.json")
    with pytest.raises(InputError, match=r"instances_val\.json"):
        open_dataset(tmp_path / "data")
    with pytest.raises(InputError, match=r"loop is a link that leads nowhere; give a dataset's folder"):
        open_dataset(loop)
    lost.unlink()
    assert len(open_dataset(tmp_path / "data").present) == 1


@pytest.mark.parametrize(
    ("data", "sentence"), [(LFS.encode(), "is a Git LFS pointer"), ("{}".encode("utf-16"), "is in UTF-16; save it as")]
)
def test_odgt_that_is_none_is_named(tmp_path, data, sentence):
    file = write_odgt(tmp_path / "annotation.odgt")
    file.write_bytes(data)
    with pytest.raises(InputError, match=rf"annotation\.odgt {sentence}"):
        read_odgt(file)


def test_a_folder_one_may_not_read_is_named(tmp_path, monkeypatch):
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\); check its permissions"):
        open_dataset(tmp_path)
