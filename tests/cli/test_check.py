"""`uncrowd check`: everything that is wrong at once, and whether training would take it."""

import json
import shutil

from PIL import Image

from tests.cli.small import TINY
from tests.data.coco_files import HEIGHT, WIDTH, annotation, content, image, write
from tests.data.odgt_files import line, person
from tests.data.odgt_files import write as write_odgt


def test_a_sound_dataset_is_described(uncrowd, shapes):
    said = uncrowd("check", shapes)
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(
        f"COCO JSON in {shapes}: 9 images, 18 boxes, 2 classes (dark, bright)\n"
        "  train: 6 images, 12 boxes of 2 classes (instances_train.json)\n"
        "  val: 3 images, 6 boxes of 2 classes (instances_val.json)\n"
    )
    assert said.out.endswith(
        "Nothing is wrong with it.\nTraining will learn from 6 images with 12 boxes and score on 3 images with 6 "
        "boxes: the dataset's own validation split.\n"
    )


def test_errors_and_warnings_are_counted(uncrowd, tmp_path):
    boxes = [annotation(1, 1), annotation(2, 2, (5, 5, 0, 8)), annotation(3, 2, category_id=99)]
    write(tmp_path / "instances_val.json", content(images=[image(8), image(9)], annotations=[annotation(1, 8)]))
    write(tmp_path / "instances_train.json", content(annotations=boxes))
    (tmp_path / "1.png").unlink()
    said = uncrowd("check", tmp_path)
    assert (said.status, said.err) == (2, "")
    assert "error: train: annotations of a category_id that `categories` does not list: 1 (annotation 3" in said.out
    assert "warning: train: boxes without positive width and height: 1 (annotation 2" in said.out
    assert f"warning: train: missing image files: 1 ({tmp_path / '1.png'})" in said.out
    assert said.out.endswith("1 error, 3 warnings\nTraining refuses this dataset until the errors are mended.\n")


def test_the_head_boxes_of_odgt_are_checked(uncrowd, refused, shapes, tmp_path):
    write_odgt(tmp_path / "annotation.odgt", [line("a", [person(), person(head_attr={"ignore": 1})]), line("b")])
    said = uncrowd("check", tmp_path, "--box", "hbox")
    assert said.status == 0
    assert "  train: 2 images, 3 boxes of 1 class, 1 of them ignored (annotation.odgt)\n" in said.out
    assert "which has no hbox" in refused("check", shapes, "--box", "hbox")


def test_all_lists_every_example_on_a_line_of_its_own(uncrowd, tmp_path):
    zero = [annotation(id, 1, (1, 1, 0, 5)) for id in range(10, 15)]
    write(tmp_path / "labels.json", content(annotations=[annotation(1, 1), annotation(2, 2, category_id=7), *zero]))
    shortened, whole = uncrowd("check", tmp_path), uncrowd("check", tmp_path, "--all")
    assert "annotation 12 of image 1: bbox [1, 1, 0, 5], ...); training leaves" in shortened.out
    listed = [line for line in whole.out.splitlines() if line.startswith("    annotation 1")]
    assert listed == [f"    annotation {id} of image 1: bbox [1, 1, 0, 5]" for id in range(10, 15)]


def test_json_for_programs(uncrowd, shapes, tmp_path):
    said = uncrowd("check", shapes, "--json")
    sound = json.loads(said.out)
    assert (said.status, said.err) == (0, "")
    assert sound["splits"]["val"] == {
        "annotations": str(shapes / "instances_val.json"),
        "images": 3,
        "boxes": 6,
        "ignored": 0,
        "classes": {"dark": 3, "bright": 3},
        "annotated": True,
    }
    assert sound["training"] == {
        "train": {"images": 6, "usable_images": 6, "boxes": 12},
        "val": {"images": 3, "usable_images": 3, "boxes": 6},
        "scored_on": "the dataset's own validation split",
    }
    write(tmp_path / "labels.json", content(annotations=[annotation(id, 1, category_id=99) for id in range(5)]))
    said = uncrowd("check", tmp_path, "--json")
    bad = json.loads(said.out)
    assert list(bad) == ["data", "format", "splits", "findings", "errors", "warnings", "training"] == list(sound)
    assert (said.status, bad["errors"], bad["training"]) == (2, 2, None)
    assert {key: bad["findings"][0][key] for key in ("kind", "severity", "split", "count")} == {
        "kind": "unknown class id",
        "severity": "error",
        "split": "train",
        "count": 5,
    }
    assert len(bad["findings"][0]["examples"]) == 3
    assert len(json.loads(uncrowd("check", tmp_path, "--json", "--all").out)["findings"][0]["examples"]) == 5


def test_images_are_drawn_with_their_boxes(uncrowd, refused, shapes, tmp_path):
    sheet = tmp_path / "sheet.png"
    said = uncrowd("check", shapes, "--draw", sheet)
    assert said.out.endswith(f"validation split.\nSome images with their boxes are in {sheet}.\n")
    assert Image.open(sheet).width > 2 * 720
    said = uncrowd("check", shapes, "--draw", sheet, "--json")
    assert json.loads(said.out)["errors"] == 0
    assert said.err == f"Some images with their boxes are in {sheet}.\n"
    assert "give --draw a name that ends in .png or .jpg" in refused("check", shapes, "--draw", tmp_path / "sheet.gif")
    said = refused("check", shapes, "--draw", shapes / "images" / "val1.png")
    assert "would be overwritten; name another file with --draw" in said


def test_no_sheet_is_written_where_no_image_can_be_read(uncrowd, shapes, tmp_path):
    shutil.copy(shapes / "instances_val.json", tmp_path)
    said = uncrowd("check", tmp_path, "--draw", tmp_path / "sheet.png")
    assert said.out.endswith(f"No image can be read, so {tmp_path / 'sheet.png'} was not written.\n")
    assert not (tmp_path / "sheet.png").exists()


def test_what_check_calls_an_error_training_refuses(uncrowd, tmp_path):
    swapped = [image(id, width=HEIGHT, height=WIDTH) for id in (1, 2)]
    write(tmp_path / "labels.json", content(images=swapped))
    said = uncrowd("check", tmp_path)
    assert said.status == 2
    assert "error: train: records with width and height swapped, so that no image can be used (" in said.out
    said = uncrowd("train", "--data", tmp_path, "--out", tmp_path / "run", *TINY)
    assert said.status == 2
    assert "has records with width and height swapped" in said.err
    assert said.err.endswith("; swap them.\n")


def test_images_beyond_the_limit_are_named_with_it(uncrowd, shapes):
    said = uncrowd("check", shapes, "--max-pixels", 3000)
    assert said.status == 2
    assert "train1.png: the image has more than 3,000 pixels, which is the limit; cut it into tiles" in said.out
    assert "more than 3,000" not in uncrowd("check", shapes).out


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
