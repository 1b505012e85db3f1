"""YOLO's folders as Ultralytics, Roboflow and Label Studio lay them out, and what their label files may hold."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.coco_files import HEIGHT, WIDTH, draw
from tests.data.written import NAMES, make, write_yolo, yolo_lines
from uncrowd.data.check.dataset import check, scan
from uncrowd.data.formats.layout import find_layout
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.formats.yolo import read_yolo, scan_yolo
from uncrowd.data.problems import Problems
from uncrowd.errors import InputError

LISTED = "train: images/train\nval: images/val\n"


@pytest.mark.parametrize(
    "yaml",
    [
        f"{LISTED}names: [ant, bee, cat]\nnc: 3\n",
        f"{LISTED}names:\n  0: ant\n  1: bee\n  2: cat\n",
        "path: .\ntrain: [images/train]\nval: ./images/val\ntest: # none\nnames: [ant, bee, cat]\n",
        "path: /content/datasets/set\ntrain: images/train\nval: images/val\nnames: [ant, bee, cat]\n",
        "train: ../images/train\nval: ../images/val\nnames: ['ant', 'bee', 'cat']\n",
        "train: /content/set/images/train\nval: C:\\set\\images\\val\nnames: [ant, bee, cat]\n",
        "train: Images/Train\nvalidation: images/val\nnames: [ant, bee, cat]\n",
        "train: train.txt\nval: val.txt\nnames: [ant, bee, cat]\n",
    ],
)
def test_what_data_yaml_may_say(tmp_path, yaml):
    made = make(3)
    write_yolo(tmp_path, made, yaml)
    for split in ("train", "val"):
        lines = [f"./images/{split}/{image.name}.png\n" for image in made if image.split == split]
        (tmp_path / f"{split}.txt").write_text("".join(lines))
    for given in (tmp_path, tmp_path / "data.yaml"):
        splits = open_dataset(given)
        assert splits.format == "YOLO"
        for dataset in splits.present:
            images = [image for image in made if image.split == dataset.split]
            assert dataset.ids.tolist() == [f"images/{dataset.split}/{image.name}.png" for image in images]
            assert dataset.counts.tolist() == [len(image.boxes) for image in images]
            assert (dataset.categories.ids, dataset.categories.names) == ((0, 1, 2), NAMES)
            assert dataset.path(0).is_file()


def test_roboflow_s_export(tmp_path):
    made = make(4)
    write_yolo(tmp_path, made, "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnames: [a, b, c]\n")
    for split, folder in (("train", "train"), ("val", "valid")):
        for kind in ("images", "labels"):
            (tmp_path / folder).mkdir(exist_ok=True)
            shutil.move(tmp_path / kind / split, tmp_path / folder / kind)
    splits = open_dataset(tmp_path)
    assert [len(dataset) for dataset in splits.present] == [3, 3, 0]  # Roboflow names an empty test split
    assert len(splits.present[0].boxes) == sum(len(image.boxes) for image in made if image.split == "train")


def test_label_studio_s_export_without_yaml(tmp_path):
    write_yolo(tmp_path, make(5))
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "notes.json").write_text('{"categories": [{"id": 0, "name": "ant"}], "info": {}}')
    (tmp_path / "classes.txt").write_text("ant\nbee\ncat\n")
    for given in (tmp_path, tmp_path / "classes.txt"):
        assert [(d.split, len(d), d.categories.names) for d in open_dataset(given).present] == [
            ("train", 3, NAMES),
            ("val", 3, NAMES),
        ]
    for kind in ("images", "labels"):
        for split in ("train", "val"):
            for file in (tmp_path / kind / split).iterdir():
                shutil.move(file, tmp_path / kind / file.name)
            (tmp_path / kind / split).rmdir()
    (dataset,) = open_dataset(tmp_path).present
    assert (dataset.split, len(dataset)) == ("train", 6)


def test_an_empty_line_among_classes_is_refused(tmp_path):
    """It would give those that follow other numbers."""
    write_yolo(tmp_path, make(5))
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("ant\n\nbee\ncat\n")
    with pytest.raises(InputError, match=r"classes\.txt has an empty line 2; write a class on each line, or remove it"):
        open_dataset(tmp_path)


def test_images_behind_a_link_are_read_once(tmp_path):
    one(tmp_path / "data", "0 0.5 0.5 0.25 0.5\n")
    elsewhere = one(tmp_path / "elsewhere", None).parent / "images"
    (tmp_path / "data/images/sub").symlink_to(elsewhere)
    (tmp_path / "data/images/again").symlink_to(tmp_path / "data/images")
    assert read_yolo(tmp_path / "data/data.yaml").ids.tolist() == ["images/0.png", "images/sub/0.png"]


def test_a_jpeg_may_be_called_jfif(tmp_path):
    file = one(tmp_path, "0 0.5 0.5 0.25 0.5\n")
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images/1.jfif", format="JPEG")
    assert read_yolo(file).ids.tolist() == ["images/0.png", "images/1.jfif"]


def one(folder: Path, labels: str | None, yaml: str = "train: images\nnames: [ant, bee]\n", images: int = 1) -> Path:
    """Images of 64 x 48 pixels, of which the first has these labels."""
    (folder / "images").mkdir(parents=True)
    for number in range(images):
        draw(folder / f"images/{number}.png")
    if labels is not None:
        (folder / "labels").mkdir()
        (folder / "labels/0.txt").write_text(labels)
    (folder / "data.yaml").write_text(yaml)
    return folder / "data.yaml"


def test_boxes_polygons_and_key_points(tmp_path):
    lines = "0 0.5 0.5 0.25 0.5\n1 0.1 0.2 0.3 0.2 0.3 0.6 0.2 0.7\n\n 1.0 5e-1 0.5 1 1 \n"
    dataset = read_yolo(one(tmp_path / "a", lines))
    expected = [[0.375, 0.25, 0.625, 0.75], [0.1, 0.2, 0.3, 0.7], [0, 0, 1, 1]]
    np.testing.assert_allclose(dataset[0].boxes, np.array(expected) * [WIDTH, HEIGHT, WIDTH, HEIGHT])
    assert dataset[0].labels.tolist() == [0, 1, 1]
    posed = read_yolo(
        one(tmp_path / "b", "0 0.5 0.5 1 1 0.9 0.9 2 0.1 0.1 2\n", "kpt_shape: [2, 3]\ntrain: images\nnc: 1\n")
    )
    np.testing.assert_allclose(posed[0].boxes, [[0, 0, WIDTH, HEIGHT]])
    assert posed.categories.names == ("class_0",)


def test_labels_may_be_in_utf_16(tmp_path):
    file = one(tmp_path, "0 0.5 0.5 0.5 0.5\n", "train: list.txt\nnames: [ant]\n")
    (tmp_path / "labels/0.txt").write_text("0 0.5 0.5 1 1\n", encoding="utf-16")
    (tmp_path / "list.txt").write_text("images/0.png\n", encoding="utf-16")
    dataset = read_yolo(file)
    assert dataset.boxes.tolist() == [[0, 0, WIDTH, HEIGHT]]


def test_images_without_a_label_file_are_background(tmp_path):
    dataset = read_yolo(one(tmp_path, "0 0.5 0.5 0.5 0.5\n", images=3))
    assert dataset.counts.tolist() == [1, 0, 0]


def test_labels_without_an_image_are_told(tmp_path):
    file = one(tmp_path, "0 0.5 0.5 0.5 0.5\n")
    for name in ("1.txt", "0.TXT.txt", "classes.txt", "notes.json"):
        (tmp_path / "labels" / name).write_text("0 0.5 0.5 0.5 0.5\n")
    draw(tmp_path / "images/É.png")
    (tmp_path / "labels/e\N{COMBINING ACUTE ACCENT}.txt").write_text("")
    dataset, problems = scan_yolo(file)
    assert len(dataset) == 2
    (told,) = problems.findings()
    assert (told.kind, told.count) == ("labels without an image", 2)
    assert [Path(example).name for example in told.examples] == ["0.TXT.txt", "1.txt"]


def test_an_image_is_measured_as_it_is_displayed(tmp_path):
    file = one(tmp_path, "0 0.5 0.5 1 1\n")
    draw(tmp_path / "images/0.png", orientation=6).rename(tmp_path / "images/0.jpg")
    draw(tmp_path / "images/0.png", orientation=6).unlink()
    (sample,) = read_yolo(file)
    assert sample.size == (WIDTH, HEIGHT)
    assert sample.boxes.tolist() == [[0, 0, HEIGHT, WIDTH]]


BROKEN = {
    "0 0.5 0.5 0.5": ("no box", "warning"),
    "0 0.5 0.5 0.5 0.5 0.9": ("box with a score", "note"),
    "0 0.5 0.5 0.5 0.5 high": ("no box", "warning"),
    "0 0.5 0.5 0.5 wide": ("no box", "warning"),
    "0 0.5 0.5 nan 0.5": ("not finite box", "warning"),
    "0 0.5 0.5 1e400 0.5": ("not finite box", "warning"),
    "0 0.1 nan 0.3 0.2 0.3 0.6": ("not finite box", "warning"),
    "0 0.5 0.5 0 0.5": ("degenerate box", "warning"),
    "0 0.5 0.5 -0.1 0.5": ("reversed box", "warning"),
    "0 1.5 0.5 0.2 0.5": ("box outside", "warning"),
    "2 0.5 0.5 0.2 0.5": ("unknown class id", "error"),
    "ant 0.5 0.5 0.2 0.5": ("unknown class id", "error"),
    "-1 0.5 0.5 0.2 0.5": ("unknown class id", "error"),
}


@pytest.mark.parametrize("line", BROKEN)
def test_broken_lines_are_told_and_left_out(tmp_path, line):
    file = one(tmp_path, f"0 0.5 0.5 0.5 0.5\n{line}\n")
    dataset, problems = scan_yolo(file)
    (finding,) = problems.findings()
    assert (finding.kind, finding.severity) == BROKEN[line]
    assert f"labels/0.txt, line 2: '{line}'" in finding.examples[0]
    # What COCO's scores count as missed is kept for them.
    kept = ("0 0.5 0.5 0 0.5", "0 1.5 0.5 0.2 0.5", "0 0.5 0.5 0.5 0.5 0.9")
    assert len(dataset.boxes) == (2 if line in kept else 1)


def kinds(folder: Path, lines: list[str]) -> list[str]:
    return [finding.kind for finding in judged(one(folder, "".join(lines))).findings()]


def judged(file: Path) -> Problems:
    from uncrowd.data.formats.open import scan_split

    return scan_split(find_layout(file), "train")[1]


def test_boxes_in_another_convention_are_recognised(tmp_path):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 0.5, (30, 2))
    sides = rng.uniform(0.1, 0.5, (30, 2))

    def lines(first: np.ndarray, second: np.ndarray) -> list[str]:
        return [f"0 {' '.join(map(str, row))}\n" for row in np.concatenate([first, second], axis=1).tolist()]

    assert kinds(tmp_path / "right", lines(corners + sides / 2, sides)) == []
    assert kinds(tmp_path / "pixels", lines(corners * WIDTH, sides * WIDTH)) == ["box outside", "boxes in pixels"]
    assert kinds(tmp_path / "corners", lines(corners, corners + sides)) == ["boxes as corners"]
    assert kinds(tmp_path / "top left", lines(corners, sides)) == ["boxes as corner and sides"]
    some = [*lines(corners + sides / 2, sides), "0 30 20 8 9\n"]
    assert kinds(tmp_path / "some in pixels", some) == ["box outside", "boxes that may be in pixels"]
    with pytest.raises(InputError, match=r"not in shares of the image .*; divide x and width by the width"):
        open_dataset(tmp_path / "pixels")


REFUSED = {
    "names: [ant]\n": r"names no images; write their folders",
    "train: images\nnames: []\n": r"names no classes; write them as a list",
    "train: images\n": r"names no classes",
    "train: images\nnames: [ant, ant]\n": r"two classes named ant, 0 and 1; rename one",
    "train: images\nnames: [ant]\nnc: 2\n": r"has 1 names but nc is 2; correct one of them",
    "train: images\nnames: {a: ant}\n": r"'a': 'ant' among its names; write a number and a name",
    "train: images\nnames: [[ant]]\n": r"among its names",
    'train: images\nnames: ["\\e[31m"]\n': r"as the name of class 0; give it a name that can be printed",
    "train: [images\n": r"is no YAML at line 2, column 1 .*; correct it",
    "- train\n": r"has no names, train and val",
    "": r"is empty",
    "names: [\x01]\n": r"cannot be read as YAML \(unacceptable character",
    "a: &a [ant, ant]\nb: &b [*a, *a, *a]\nnames: [*b]\ntrain: images\n": r"among its names",
    "train: images\nnames: [ant]\ntrain: other\n": r"is no YAML at line 3, column 1 \(the key 'train' is given twice\)",
    "train: images\nnames: {0: ant, 0: bee}\n": r"the key '0' is given twice",
    "train: [[images, a], b]\nnames: [ant]\n": r"\[\['images', 'a'\], 'b'\] as train; write a folder of images, or a",
    "val: images\nvalid: others\nnames: [ant]\n": r"names the images of its val split twice, also as valid; keep one",
    "path: [a]\ntrain: images\nnames: [ant]\n": r"has \['a'\] as path; write one folder, or leave it out",
    "train: images\nnc: 3.5\n": r"has '3\.5' as nc; write the number of its classes, or only their names",
    "train: images\nnc: -1\n": r"has '-1' as nc",
    "train: images\nnc: 1000000000\n": r"has '1000000000' as nc",
    "train: images\nnames: {-1: ant}\n": r"'-1': 'ant' among its names",
    "train: pictures\nnames: [ant]\n": r"images that cannot be found \(pictures\); correct train in data\.yaml",
}


@pytest.mark.parametrize("yaml", REFUSED, ids=range(len(REFUSED)))
def test_what_data_yaml_may_not_say(tmp_path, yaml):
    file = one(tmp_path, "0 0.5 0.5 0.5 0.5\n", yaml)
    with pytest.raises(InputError, match=REFUSED[yaml]) as caught:
        open_dataset(file)
    assert "\n" not in str(caught.value)


def test_a_class_may_be_called_no(tmp_path):
    dataset = read_yolo(one(tmp_path, "1 0.5 0.5 0.5 0.5\n", "train: images\nnames: [yes, no, 7]\n"))
    assert dataset.categories.names == ("yes", "no", "7")


def test_an_image_that_cannot_be_measured_is_left_out(tmp_path):
    file = one(tmp_path, "0 0.5 0.5 0.5 0.5\n", images=2)
    (tmp_path / "images/1.png").write_bytes(b"no image")
    dataset, problems = scan_yolo(file)
    assert dataset.ids.tolist() == ["images/0.png"]
    assert [(finding.kind, finding.count) for finding in problems.findings()] == [("no image size", 1)]
    known, _ = scan_yolo(file, sizes={"images/1.png": (48, 64)})
    assert len(known) == 2


def test_a_dataset_without_any_label_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no label file for any image .*; put the labels of images/a/1\.jpg into"):
        open_dataset(one(tmp_path, None))
    with pytest.raises(InputError, match=r"names no val split; it has train"):
        read_yolo(tmp_path / "data.yaml", "val")


def test_a_test_split_without_labels_has_no_ground_truth(tmp_path):
    one(tmp_path, None, "test: images\nnames: [ant]\n")
    (dataset,) = open_dataset(tmp_path).present
    assert (dataset.split, len(dataset), dataset.annotated) == ("test", 1, False)


def test_what_is_near_is_named_with_the_mend(tmp_path):
    write_yolo(tmp_path, make(6))
    (tmp_path / "test").mkdir()
    splits = open_dataset(tmp_path)
    assert splits.not_read == ("test/ is not named in the YAML file",)
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(InputError, match=r"\.txt looks like YOLO's text, the boxes of one image; give the dataset's"):
        open_dataset(tmp_path)
    for name in ("a.yaml", "b.yml"):
        (tmp_path / name).write_text("names: [ant, bee, cat]\ntrain: images/train\n")
    with pytest.raises(InputError, match=r"a\.yaml and .*b\.yml could each be the annotations"):
        open_dataset(tmp_path)


def test_an_image_listed_twice_counts_once(tmp_path):
    file = one(tmp_path, "0 0.5 0.5 0.5 0.5\n", "train: [images, images/, list.txt]\nnames: [ant]\n")
    (tmp_path / "list.txt").write_text("C:\\other\\images\\0.png\n")
    dataset, problems = scan_yolo(file)
    assert len(dataset) == 1
    assert "image listed twice" in {finding.kind for finding in problems.findings()}


def test_check_tells_of_images_in_two_splits(tmp_path):
    made = make(7)
    write_yolo(tmp_path, made)
    first = next(image for image in made if image.split == "train")
    shutil.copy(tmp_path / f"images/train/{first.name}.png", tmp_path / "images/val/again.png")
    (tmp_path / "labels/val/again.txt").write_text("".join(yolo_lines(first)))
    assert "image in two splits" in {finding.kind for finding in check(scan(find_layout(tmp_path))).findings}
