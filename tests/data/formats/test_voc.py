"""Pascal VOC's folders as the devkit, labelImg and Roboflow lay them out, and what their XML files may hold."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data.coco_files import HEIGHT, WIDTH, draw
from tests.data.written import NAMES, make, voc_xml, write_voc
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.formats.voc import read_voc, scan_voc
from uncrowd.errors import InputError


def flat(folder: Path, seed: int, names: tuple[str, str] = ("train", "valid")) -> Path:
    """As Roboflow exports it."""
    write_voc(folder, made := make(seed))
    for image in made:
        into = folder / names[image.split == "val"]
        into.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / f"JPEGImages/{image.name}.png", into)
        shutil.move(folder / f"Annotations/{image.name}.xml", into)
    for name in ("JPEGImages", "Annotations", "ImageSets"):
        shutil.rmtree(folder / name)
    return folder


def test_the_devkit_s_layout(tmp_path):
    made = make(0)
    write_voc(tmp_path / "VOC2007", made)
    (tmp_path / "VOC2007/ImageSets/Main/ant_train.txt").write_text("train_000 -1\n")
    (tmp_path / "VOC2007/ImageSets/Main/trainval.txt").write_text("train_000\nval_001\n")
    splits = open_dataset(tmp_path / "VOC2007")
    assert [(dataset.split, len(dataset)) for dataset in splits.present] == [("train", 3), ("val", 3)]
    for dataset in splits.present:
        assert (dataset.categories.ids, dataset.categories.names) == ((1, 2, 3), NAMES)
        assert dataset.ids.tolist() == [image.name for image in made if image.split == dataset.split]
        assert dataset.folder == tmp_path / "VOC2007/JPEGImages"
    alone = open_dataset(tmp_path / "VOC2007/ImageSets/Main/val.txt").val
    assert alone is not None
    assert alone.ids.tolist() == splits.present[1].ids.tolist()
    with pytest.raises(InputError, match=r"holds VOC2007, each a dataset of its own; give one of these"):
        open_dataset(tmp_path)


def test_trainval_is_the_training_split_where_there_is_no_other(tmp_path):
    write_voc(tmp_path, make(1))
    main = tmp_path / "ImageSets/Main"
    (main / "train.txt").rename(main / "trainval.txt")
    (main / "val.txt").rename(main / "test.txt")
    assert [dataset.split for dataset in open_dataset(tmp_path).present] == ["train", "test"]


def test_images_without_an_xml_file_are_told_in_a_folder(tmp_path):
    """A list says which images belong to a split; a folder of XML files does not."""
    write_voc(tmp_path, make(1))
    draw(tmp_path / "JPEGImages/more.png")
    assert scan_voc(tmp_path / "ImageSets/Main/train.txt")[1].findings() == []
    shutil.rmtree(tmp_path / "ImageSets")
    (told,) = scan_voc(tmp_path / "Annotations")[1].findings()
    assert (told.kind, list(told.examples)) == ("images without an XML file", [str(tmp_path / "JPEGImages/more.png")])


@pytest.mark.parametrize(
    "names", [("train", "valid"), ("train/Annotations", "valid/Annotations"), ("annotations/train", "annotations/val")]
)
def test_folders_of_xml_files_are_splits(tmp_path, names):
    flat(tmp_path, 2, names)
    splits = open_dataset(tmp_path)
    assert [(dataset.split, len(dataset), dataset.source) for dataset in splits.present] == [
        ("train", 3, tmp_path / names[0]),
        ("val", 3, tmp_path / names[1]),
    ]
    assert all(dataset.path(0).is_file() for dataset in splits.present)


def test_one_folder_of_xml_files_is_the_training_split(tmp_path):
    flat(tmp_path, 3, (".", "."))
    (beside,) = open_dataset(tmp_path).present
    assert beside.path(0).is_file()
    for suffix, folder in ((".xml", "annotations"), (".png", "images")):
        (tmp_path / folder).mkdir()
        for file in sorted(tmp_path.glob(f"*{suffix}")):
            shutil.move(file, tmp_path / folder)
    (apart,) = open_dataset(tmp_path).present
    assert apart.path(0).is_file()
    for dataset in (beside, apart):
        assert (dataset.split, len(dataset)) == ("train", 6)
    assert np.array_equal(beside.boxes, apart.boxes)


def test_classes_are_those_of_all_splits_in_the_order_of_their_names(tmp_path):
    flat(tmp_path, 4)
    for file in (tmp_path / "valid").glob("*.xml"):
        file.write_text(file.read_text().replace("bee", "wasp"))
    names = {dataset.split: dataset.categories.names for dataset in open_dataset(tmp_path).present}
    assert names == {"train": ("ant", "bee", "cat", "wasp"), "val": ("ant", "bee", "cat", "wasp")}
    assert read_voc(tmp_path / "train").categories.names == names["train"]


def one(
    folder: Path, objects: str, size: str = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    draw(folder / "a.png")
    (folder / "a.xml").write_text(f"<annotation><filename>a.png</filename>{size}{objects}</annotation>")
    return folder


def found(box: tuple[object, ...], more: str = "", name: str = "<name>ant</name>") -> str:
    corners = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object>{name}{more}<part><bndbox/></part><bndbox>{corners}</bndbox></object>"


def test_pixels_are_counted_from_1_unless_a_box_begins_at_0(tmp_path):
    whole, inner = (1, 1, WIDTH, HEIGHT), (11, 11, 20, 20)
    counted_from_1 = read_voc(one(tmp_path / "1", found(whole) + found(inner)))
    assert counted_from_1[0].boxes.tolist() == [[0, 0, WIDTH, HEIGHT], [10, 10, 20, 20]]
    dataset, problems = scan_voc(one(tmp_path / "0", found((0, 5, 9, 9)) + found(inner)))
    assert dataset[0].boxes.tolist() == [[0, 5, 9, 9], [11, 11, 20, 20]]
    assert [(finding.kind, finding.severity) for finding in problems.findings()] == [("pixels from 0", "note")]


def test_difficult_objects_are_ignored(tmp_path):
    box = (1, 1, 9, 9)
    marks = "".join(found(box, f"<difficult>{mark}</difficult>") for mark in (1, 0, "", " 1 "))
    dataset = read_voc(one(tmp_path, marks + found(box)))
    assert dataset[0].ignore.tolist() == [True, False, False, True, False]
    with pytest.raises(InputError, match=r"`difficult` is neither 0 nor 1 \(.*a\.xml, object 1\); write 1 for"):
        read_voc(one(tmp_path, found(box, "<difficult>maybe</difficult>")))


BROKEN = {
    found((1, 1, "x", 9)): ("no box", "warning"),
    "<object><name>ant</name></object>": ("no box", "warning"),
    found((1, 1, "nan", 9)): ("not finite box", "warning"),
    found((9, 9, 1, 1)): ("reversed box", "warning"),
    found((1001, 1, 1009, 9)): ("box outside", "warning"),
    found((1, 1, 9, 9), name=""): ("object without class", "error"),
    found((1, 1, 9, 9), name="<name>\u2028</name>"): ("object without class", "error"),
}


@pytest.mark.parametrize("objects", BROKEN, ids=range(len(BROKEN)))
def test_broken_objects_are_told_and_left_out(tmp_path, objects):
    dataset, problems = scan_voc(one(tmp_path, found((1, 1, 9, 9)) + objects))
    (finding,) = problems.findings()
    assert (finding.kind, finding.severity) == BROKEN[objects]
    assert "a.xml, object 2" in finding.examples[0]
    assert dataset[0].boxes[0].tolist() == [0, 0, 9, 9]


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">{}]><annotation><filename>&z;</filename></annotation>'.format(
    "".join(f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefghi", "bcdefghiz", strict=True))
)
DAMAGED = {
    "": "no element found",
    "<annotation><object>": "no element found",
    "<annotations/>": "it begins with <annotations>, not with <annotation>",
    "PK\x03\x04": "not well-formed",
    '<?xml version="1.0" encoding="klingon"?><annotation/>': "encoding",
    BOMB: "it has a document type",
    '<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>': "it has a document type",
}


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_and_hostile_xml_is_refused_in_a_sentence(tmp_path, text):
    one(tmp_path, found((1, 1, 9, 9)))
    (tmp_path / "b.xml").write_text(text)
    with pytest.raises(
        InputError, match=rf"XML files that .* \(.*b\.xml: .*{DAMAGED[text]}.*\); copy or export"
    ) as caught:
        open_dataset(tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("root", "encoding"),
    [
        ('<annotation xmlns="http://example.org/voc">', "utf-8"),
        ('<?xml version="1.0" encoding="utf-8"?><annotation>', "utf-16"),
        ("<annotation>", "utf-16-le"),
    ],
)
def test_a_namespace_and_any_unicode_are_read(tmp_path, root, encoding):
    one(tmp_path, found((1, 1, 9, 9)))
    text = (tmp_path / "a.xml").read_text().replace("<annotation>", root)
    (tmp_path / "a.xml").write_text(text, encoding=encoding)
    (dataset,) = open_dataset(tmp_path).present
    assert dataset.boxes.tolist() == [[0, 0, 9, 9]]


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height></size>"])
def test_a_size_that_is_not_written_is_that_of_the_image(tmp_path, size):
    assert read_voc(one(tmp_path, found((1, 1, 9, 9)), size))[0].size == (HEIGHT, WIDTH)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"size is not known \(.*a\.xml\); put the images where"):
        read_voc(tmp_path)
    known, _ = scan_voc(tmp_path, sizes={"a": (5, 6)})
    assert known[0].size == (5, 6)


def test_lists_name_only_images_with_an_xml_file(tmp_path):
    write_voc(tmp_path, make(5))
    file = tmp_path / "ImageSets/Main/train.txt"
    file.write_text(file.read_text() + "\nlost\n../../a\n")
    with pytest.raises(InputError, match=r"without an XML file \(lost, \.\./\.\./a\); add it"):
        open_dataset(tmp_path)


def test_a_list_may_name_the_images(tmp_path):
    write_voc(tmp_path, make(5))
    file = tmp_path / "ImageSets/Main/train.txt"
    expected = open_dataset(tmp_path).present[0].ids.tolist()
    file.write_text("".join(f"{name}.png\n" for name in expected))
    assert open_dataset(tmp_path).present[0].ids.tolist() == expected


def test_the_devkit_s_annotations_may_be_given_alone(tmp_path):
    write_voc(tmp_path, made := make(5))
    assert len(open_dataset(tmp_path / "Annotations").present[0]) == len(made)


def test_two_folders_for_one_split_are_refused(tmp_path):
    flat(tmp_path, 2, ("annotations/train", "annotations/val"))
    shutil.copytree(tmp_path / "annotations/train", tmp_path / "train")
    with pytest.raises(InputError, match=r"could each be the annotations of the train split; give one of them by name"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path / "train").present[0]) == len(
        open_dataset(tmp_path / "annotations/train").present[0]
    )


def test_images_are_those_named_as_the_xml_files_or_else_those_that_these_name(tmp_path):
    one(tmp_path, found((1, 1, 9, 9)))
    (tmp_path / "a.png").rename(tmp_path / "photo.png")
    text = (tmp_path / "a.xml").read_text()
    (tmp_path / "a.xml").write_text(text.replace("a.png", "C:\\photos\\photo.png"))
    dataset = read_voc(tmp_path)
    assert dataset.path(0) == tmp_path / "photo.png"
    draw(tmp_path / "a.jpg")
    assert read_voc(tmp_path).path(0) == tmp_path / "a.jpg"


def test_fractions_are_refused(tmp_path):
    one(tmp_path, found((0.25, 0.25, 0.5, 0.5)))
    with pytest.raises(InputError, match=r"within 0\.\.1, as fractions of the image do .*; boxes are in pixels"):
        open_dataset(tmp_path)


def test_one_xml_file_is_not_a_dataset(tmp_path):
    write_voc(tmp_path, made := make(6))
    file = tmp_path / f"Annotations/{made[0].name}.xml"
    file.write_text(voc_xml(made[0]))
    with pytest.raises(InputError, match=r"looks like Pascal VOC's XML, the objects of one image; give the dataset's"):
        open_dataset(file)
