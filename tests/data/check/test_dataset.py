"""`check` lists everything at once, errors first, and goes on where one file cannot be used."""

import json

import pytest

from tests.data.check.checking import SOUND, VAL, check_data, check_parts, examples, kinds
from tests.data.coco_files import annotation, content, image, write
from tests.data.odgt_files import line, person
from tests.data.odgt_files import write as write_odgt
from uncrowd.data.check.dataset import check, scan
from uncrowd.data.formats.layout import find_layout
from uncrowd.errors import InputError


def test_a_sound_dataset_has_nothing_but_its_crowding(tmp_path):
    assert kinds(check_parts(tmp_path)) == {}


def test_sentences_say_what_how_many_which_and_what_follows(tmp_path):
    zero = [annotation(id, 1, (1, 1, 0, 5)) for id in range(10, 15)]
    sentences = [finding.sentence() for finding in check_parts(tmp_path, annotations=SOUND + zero)]
    assert sentences[0] == (
        "warning: train: boxes without positive width and height: 5 (annotation 10 of image 1: bbox [1, 1, 0, 5], "
        "annotation 11 of image 1: bbox [1, 1, 0, 5], annotation 12 of image 1: bbox [1, 1, 0, 5], ...); "
        "training leaves them out, scores count them as missed."
    )


def test_all_mistakes_of_a_file_are_listed_errors_first(tmp_path):
    findings = check_parts(
        tmp_path,
        images=[image(1), image(2), image(1, file_name="2.png")],
        annotations=[*SOUND, annotation(8, 77), annotation(9, 1, category_id=5), annotation(10, 1, (1, 1, 0, 0))],
        categories=[{"id": 3, "name": "cat"}, {"id": 7, "name": "cat"}, {"id": 7, "name": "dog"}],
    )
    assert kinds(findings) == {
        "duplicate class name": 1,
        "duplicate class id": 1,
        "duplicate image id": 1,
        "unknown image id": 1,
        "unknown class id": 1,
        "classes differ": 1,
        "degenerate box": 1,
    }
    assert [f.severity for f in findings] == ["error"] * 6 + ["warning", "note", "note"]


def test_a_file_cut_in_the_middle_is_one_finding_and_the_other_split_is_still_checked(tmp_path):
    train = write(tmp_path / "instances_train.json")
    write(tmp_path / "instances_val.json", content(annotations=[annotation(1, 1, (1, 1, 0, 5)), annotation(2, 2)]))
    train.write_text(train.read_text()[:100])
    findings = check_data(tmp_path)
    assert [(f.kind, f.split) for f in findings if f.severity != "note"] == [
        ("annotation file", "train"),
        ("degenerate box", "val"),
    ]
    assert "instances_train.json is cut off or damaged at line 1" in findings[0].sentence()


def test_images_nowhere_are_one_finding(tmp_path):
    write(tmp_path / "a.json", image_folder=tmp_path / "elsewhere")
    assert kinds(check_data(tmp_path / "a.json")) == {"images not found": 2}


def test_splits_of_different_classes(tmp_path):
    write(tmp_path / "instances_train.json")
    write(tmp_path / "instances_val.json", VAL | {"categories": [{"id": 3, "name": "cow"}, {"id": 7, "name": "dog"}]})
    findings = check_data(tmp_path)
    assert kinds(findings) == {"classes differ": 1}
    assert "id 3 is cat in the one and cow in the other" in findings[0].message


def test_crowdhuman_s_files_are_checked_as_coco_s_are(tmp_path):
    boxes = [person(), person(), person(tag="rider"), person(fbox=[-9, 3, 20, 9]), person(fbox=[500, 1, 5, 5])]
    file = write_odgt(tmp_path / "annotation.odgt", [line("a", boxes), line("b", []), line("c"), line("c"), "{"])
    (tmp_path / "c.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    findings = check_data(file)
    assert kinds(findings) == {
        "damaged line": 1,
        "duplicate image id": 1,
        "unknown tag": 1,
        "box outside": 1,
        "duplicate content": 1,
        "duplicate box": 2,  # the rider has the same box, too
        "box partly outside": 1,
        "ignored box": 1,
        "image without boxes": 1,
    }
    assert [f.severity for f in findings][:3] == ["error", "error", "warning"]


def test_an_odgt_file_that_is_one_list_is_told_to_hold_an_object_a_line(tmp_path):
    write_odgt(tmp_path / "annotation_val.odgt", [line("a")])
    write_odgt(tmp_path / "annotation_train.odgt", [json.dumps([line("b")])])
    errors = [finding.sentence() for finding in check_data(tmp_path) if finding.severity == "error"]
    assert errors == [
        "error: train: lines that are not JSON objects: 1 (line 1 is a list); write one object a line.",
        "error: train: no boxes to learn from (0 boxes in 0 images); add annotations.",
    ]


def test_test_images_without_annotations_are_no_mistake_even_where_they_are_missing(tmp_path):
    write(tmp_path / "instances_train.json", content(annotations=SOUND))
    write(tmp_path / "instances_val.json", VAL)
    alone = {"images": [image(8), image(9)], "categories": content()["categories"]}
    write(tmp_path / "image_info_test-dev2017.json", alone)
    (tmp_path / "8.png").unlink()
    assert kinds(check_data(tmp_path)) == {"missing image": 1, "no ground truth": 2}
    (tmp_path / "9.png").unlink()
    findings = check_data(tmp_path)
    assert kinds(findings) == {"images not found": 2, "no ground truth": 2}
    assert findings[0].severity == "warning"


def test_what_training_uses_is_told_without_the_images_that_it_cannot(tmp_path):
    file = write(
        tmp_path / "a.json", content([image(id) for id in range(10)], [annotation(id, id) for id in range(10)])
    )
    for id in (0, 1, 2):
        (tmp_path / f"{id}.png").write_text("<html>")
    checked = check(scan(find_layout(file)))
    assert checked.training is not None
    train, val = checked.training.train, checked.training.val
    assert (len(train), len(val)) == (9, 1)
    assert checked.usable_images(train) + checked.usable_images(val) == 7
    assert checked.usable_images(val) == int(val.ids[0] > 2)
    assert len(examples(checked.findings)["unreadable image"]) == 3


def test_a_path_that_leads_nowhere_is_the_user_s_mistake(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        check_data(tmp_path / "nowhere")


def test_what_is_wrong_is_told_of_the_split_that_has_it(tmp_path):
    """Its annotation file comes after that of the test split by name."""
    write(tmp_path / "instances_test.json")
    write(tmp_path / "instances_train.json", content(annotations=[annotation(1, 1), annotation(2, 99)]))
    findings = check(scan(find_layout(tmp_path))).findings
    assert {finding.split for finding in findings if finding.kind == "unknown image id"} == {"train"}
