"""`uncrowd check`: everything that is wrong at once, and whether training would take it."""

from tests.data.coco_files import annotation, content, write
from tests.data.odgt_files import line, person
from tests.data.odgt_files import write as write_odgt


def test_a_sound_dataset_is_described(uncrowd, shapes):
    said = uncrowd("check", shapes)
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(
        f"COCO JSON in {shapes}: 9 images, 18 boxes, 2 classes (dark, bright)\n"
        "  train: 6 images, 12 boxes (instances_train.json)\n"
        "  val: 3 images, 6 boxes (instances_val.json)\n"
    )
    assert said.out.endswith("Nothing is wrong with it.\n")


def test_errors_and_warnings_are_counted(uncrowd, tmp_path):
    boxes = [annotation(1, 1), annotation(2, 2, (5, 5, 0, 8)), annotation(3, 2, category_id=99)]
    write(tmp_path / "labels.json", content(annotations=boxes))
    (tmp_path / "1.png").unlink()
    said = uncrowd("check", tmp_path / "labels.json")
    assert (said.status, said.err) == (2, "")
    assert "error: train: annotations of a category_id that `categories` does not list: 1 (annotation 3" in said.out
    assert "warning: train: boxes without positive width and height: 1 (annotation 2" in said.out
    assert f"warning: train: missing image files: 1 ({tmp_path / '1.png'})" in said.out
    assert said.out.endswith("1 error, 3 warnings\n")


def test_the_head_boxes_of_odgt_are_checked(uncrowd, refused, shapes, tmp_path):
    write_odgt(tmp_path / "annotation.odgt", [line("a", boxes=[person(), person(head_attr={"ignore": 1})])])
    said = uncrowd("check", tmp_path, "--box", "hbox")
    assert said.status == 0
    assert "  train: 1 image, 2 boxes, 1 of them ignored (annotation.odgt)\n" in said.out
    assert "which has no hbox" in refused("check", shapes, "--box", "hbox")


def test_a_path_without_a_dataset_is_refused(refused, tmp_path):
    assert "nowhere does not exist" in refused("check", tmp_path / "nowhere")
    assert "has no annotation file in it" in refused("check", tmp_path)


def test_an_annotation_file_cut_off_in_the_middle_is_a_finding(uncrowd, shapes, tmp_path):
    text = (shapes / "instances_train.json").read_text()
    (tmp_path / "instances_train.json").write_text(text[: len(text) // 2])
    said = uncrowd("check", tmp_path)
    assert said.status == 2
    assert said.out.startswith(f"COCO JSON in {tmp_path}: nothing that can be read\n")
    assert "instances_train.json is cut off or damaged" in said.out
