"""`check` lists everything at once; a table of spoiled datasets and what it says about each."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.data.coco_files import HEIGHT, WIDTH, annotation, content, draw, image, write
from tests.data.odgt_files import line, person
from tests.data.odgt_files import write as write_odgt
from uncrowd.data.check import splits as checking
from uncrowd.data.formats.open import Layout, find_layout
from uncrowd.data.problems import Finding
from uncrowd.errors import InputError

# Two classes, both used, nothing wrong.
SOUND = [annotation(1, 1), annotation(2, 2, category_id=7)]


def kinds(findings: list[Finding]) -> dict[str, int]:
    """Kind -> count, without the crowding note that every dataset with boxes has."""
    return {finding.kind: finding.count for finding in findings if finding.kind != "crowding"}


def check_layout(layout: Layout) -> list[Finding]:
    return checking.check(checking.scan(layout))


def check(folder: Path, **parts: Any) -> list[Finding]:
    write(folder / "a.json")
    (folder / "a.json").write_text(json.dumps(content(**parts)))
    return check_layout(find_layout(folder / "a.json"))


def test_a_sound_dataset_has_nothing_but_its_crowding(tmp_path):
    assert kinds(check(tmp_path)) == {}


def test_sentences_say_what_how_many_which_and_what_follows(tmp_path):
    zero = [annotation(id, 1, (1, 1, 0, 5)) for id in range(10, 15)]
    sentences = [finding.sentence() for finding in check(tmp_path, annotations=SOUND + zero)]
    assert sentences[0] == (
        "warning: train: boxes without positive width and height: 5 (annotation 10 of image 1: bbox [1, 1, 0, 5], "
        "annotation 11 of image 1: bbox [1, 1, 0, 5], annotation 12 of image 1: bbox [1, 1, 0, 5], ...); "
        "training leaves them out, scores count them as missed."
    )


@pytest.mark.parametrize(
    ("wrong", "kind", "severity"),
    [
        (annotation(9, 1, (5, 5, 0, 4)), "degenerate box", "warning"),
        (annotation(9, 1, (5, 5, float("nan"), 4)), "not finite box", "warning"),
        (annotation(9, 1, (500, 5, 9, 9)), "box outside", "warning"),
        (annotation(9, 1, None), "no box", "warning"),
        (annotation(9, 1, (-2, 5, 30, 9)), "box partly outside", "note"),
        (annotation(9, 1, (5, 5, 30, 3)), "tiny box", "note"),
        (annotation(9, 1, (5, 5, 9, 9), iscrowd=1), "ignored box", "note"),
        (annotation(9, 1), "duplicate box", "warning"),
        (annotation(9, 1, category_id=5), "unknown class id", "error"),
        (annotation(9, 4), "unknown image id", "error"),
    ],
)
def test_boxes(tmp_path, wrong, kind, severity):
    findings = check(tmp_path, annotations=[*SOUND, wrong])
    assert kinds(findings) == {kind: 1}
    finding = next(finding for finding in findings if finding.kind == kind)
    assert (finding.severity, finding.split, len(finding.examples)) == (severity, "train", 1)


def test_a_hair_s_breadth_past_the_edge_is_no_finding(tmp_path):
    assert kinds(check(tmp_path, annotations=[*SOUND, annotation(9, 1, (-0.4, 5, WIDTH + 0.8, 9))])) == {}


def test_the_same_box_of_another_class_is_no_duplicate(tmp_path):
    assert kinds(check(tmp_path, annotations=[*SOUND, annotation(9, 1, category_id=7)])) == {}


def test_images_and_classes_without_boxes(tmp_path):
    findings = check(tmp_path, annotations=[annotation(1, 1), annotation(2, 2, category_id=7, iscrowd=1)])
    assert kinds(findings) == {"ignored box": 1, "image without boxes": 1, "class without boxes": 1}
    assert [f.examples for f in findings if f.kind == "class without boxes"] == [["dog"]]


def test_a_dataset_without_boxes(tmp_path):
    findings = check(tmp_path, annotations=[])
    assert kinds(findings) == {"no boxes": 1}
    assert findings[0].severity == "error"


def test_all_mistakes_of_a_file_are_listed_errors_first(tmp_path):
    findings = check(
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
        "degenerate box": 1,
    }
    assert [f.severity for f in findings] == ["error"] * 5 + ["warning", "note"]


def test_images_that_are_missing_cut_off_of_another_size_or_twice_there(tmp_path):
    images = [image(id) for id in range(1, 8)] + [image(8, file_name="2.png")]
    file = write(tmp_path / "a.json", content(images, [annotation(id, id) for id in range(1, 9)]))
    (tmp_path / "3.png").unlink()
    (tmp_path / "4.png").write_bytes((tmp_path / "4.png").read_bytes()[:1000])
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(tmp_path / "5.png")
    (tmp_path / "6.png").write_bytes((tmp_path / "1.png").read_bytes())
    (tmp_path / "7.png").unlink()
    (tmp_path / "7.png").mkdir()
    findings = {finding.kind: finding for finding in check_layout(find_layout(file))}
    assert findings["missing image"].examples == [str(tmp_path / "3.png")]
    assert findings["unreadable image"].examples == [str(tmp_path / "4.png"), str(tmp_path / "7.png")]
    assert findings["other size"].examples == [f"{tmp_path / '5.png'}: 64x49, record 64x48"]
    assert findings["duplicate content"].examples == ["1.png and 6.png"]
    assert findings["duplicate file"].examples == ["2.png, image 8"]
    assert all(finding.severity == "warning" for kind, finding in findings.items() if kind != "crowding")


def test_exif_is_counted_both_ways(tmp_path):
    turned = {"width": HEIGHT, "height": WIDTH}
    images = [image(1), image(2), image(3, **turned), image(4)]
    file = write(tmp_path / "a.json", content(images, [annotation(id, id, category_id=3) for id in range(1, 5)]))
    draw(tmp_path / "2.png", orientation=6)
    draw(tmp_path / "3.png", orientation=6)
    draw(tmp_path / "4.png", orientation=3)
    findings = {finding.kind: finding for finding in check_layout(find_layout(file))}
    assert findings["EXIF, record as stored"].examples == [f"{tmp_path / '2.png'}: 64x48, record 64x48"]
    assert findings["EXIF, record as displayed"].examples == [f"{tmp_path / '3.png'}: 64x48, record 48x64"]
    assert findings["EXIF, record fits both"].examples == [f"{tmp_path / '4.png'}: 64x48, record 64x48"]


def test_a_file_cut_in_the_middle_is_one_finding_and_the_other_split_is_still_checked(tmp_path):
    train = write(tmp_path / "instances_train.json")
    write(tmp_path / "instances_val.json", content(annotations=[annotation(1, 1, (1, 1, 0, 5)), annotation(2, 2)]))
    train.write_text(train.read_text()[:100])
    findings = check_layout(find_layout(tmp_path))
    assert [(f.kind, f.split) for f in findings if f.severity != "note"] == [
        ("annotation file", "train"),
        ("degenerate box", "val"),
    ]
    assert "instances_train.json is cut off or damaged at line 1" in findings[0].sentence()


def test_images_nowhere_are_one_finding(tmp_path):
    write(tmp_path / "a.json", image_folder=tmp_path / "elsewhere")
    assert kinds(check_layout(find_layout(tmp_path / "a.json"))) == {"images not found": 2}


def test_splits_that_share_images_by_record_or_by_content(tmp_path):
    write(tmp_path / "annotations/instances_train.json", image_folder=tmp_path / "train")
    data = content(images=[image(2), image(3)], annotations=[annotation(1, 2), annotation(2, 3, category_id=7)])
    write(tmp_path / "annotations/instances_val.json", data, image_folder=tmp_path / "val")
    (tmp_path / "val/3.png").write_bytes((tmp_path / "train/1.png").read_bytes())
    (tmp_path / "val/2.png").write_bytes((tmp_path / "train/2.png").read_bytes())  # reported once, by its record
    shared = [finding for finding in check_layout(find_layout(tmp_path)) if finding.kind == "image in two splits"]
    assert [finding.examples for finding in shared] == [
        ["2.png: train and val"],
        [f"{tmp_path / 'train/1.png'} and {tmp_path / 'val/3.png'}"],
    ]


def test_splits_of_different_classes(tmp_path):
    write(tmp_path / "instances_train.json")
    data = content(images=[image(5), image(6)], annotations=[annotation(1, 5), annotation(2, 6)])
    write(tmp_path / "instances_val.json", data | {"categories": [{"id": 3, "name": "cow"}]})
    findings = check_layout(find_layout(tmp_path))
    assert kinds(findings) == {"classes differ": 1}
    assert "id 3 is cat in the one and cow in the other" in findings[0].message


def test_crowdhuman_s_files_are_checked_as_coco_s_are(tmp_path):
    boxes = [person(), person(), person(tag="rider"), person(fbox=[-9, 3, 20, 9]), person(fbox=[500, 1, 5, 5])]
    file = write_odgt(tmp_path / "annotation.odgt", [line("a", boxes), line("b", []), line("c"), line("c"), "{"])
    (tmp_path / "c.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    findings = check_layout(find_layout(file))
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


def test_test_images_without_annotations_are_no_mistake_even_where_they_are_missing(tmp_path):
    write(tmp_path / "instances_train.json", content(annotations=SOUND))
    alone = {"images": [image(8), image(9)], "categories": content()["categories"]}
    write(tmp_path / "image_info_test-dev2017.json", alone)
    (tmp_path / "8.png").unlink()
    assert kinds(check_layout(find_layout(tmp_path))) == {"missing image": 1, "no ground truth": 2}
    (tmp_path / "9.png").unlink()
    findings = check_layout(find_layout(tmp_path))
    assert kinds(findings) == {"images not found": 2, "no ground truth": 2}
    assert findings[0].severity == "warning"


def test_crowding_is_told_in_numbers(tmp_path):
    """Image 1 holds two boxes of IoU 2/3 and a lone one; image 2 one box and a crowd box, which does not count."""
    annotations = [
        annotation(1, 1, (0, 0, 10, 10)),
        annotation(2, 1, (0, 2, 10, 10)),
        annotation(3, 1, (40, 30, 9, 9)),
        annotation(4, 2, category_id=7),
        annotation(5, 2, iscrowd=1),
    ]
    crowding = next(f for f in check(tmp_path, annotations=annotations) if f.kind == "crowding")
    assert crowding.count == 4
    assert "2 boxes per image, 3 at most (in 1.png)" in crowding.message
    assert f"IoU {(2 / 3 + 2 / 3 + 0 + 0) / 4:.2f} on average" in crowding.message
    assert "0.5 pairs per image above 0.5" in crowding.message


def test_a_path_that_leads_nowhere_is_the_user_s_mistake(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        check_layout(find_layout(tmp_path / "nowhere"))
