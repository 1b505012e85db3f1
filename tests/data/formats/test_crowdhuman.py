"""CrowdHuman's odgt: which boxes are objects, where sizes come from, and what is refused, each with one sentence."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data.coco_files import HEIGHT, WIDTH, draw
from tests.data.odgt_files import line, person, write
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.crowdhuman import read_odgt, scan_odgt
from uncrowd.data.formats.format import BoxKind
from uncrowd.errors import InputError

CROWDHUMAN_EVAL = Path(__file__).parents[2] / "fixtures/crowdhuman_eval"


def test_a_file_becomes_a_dataset(tmp_path):
    boxes = [person(), person(fbox=[-3, 0.5, 10, 60.25]), person(tag="mask", fbox=[5, 6, 7, 8])]
    file = write(tmp_path / "annotation_val.odgt", [line("b,1", boxes), line("a,2", [])])
    dataset = read_odgt(file, split="val")

    assert (dataset.source, dataset.split, dataset.folder, dataset.annotated) == (file, "val", tmp_path, True)
    assert (dataset.categories.ids, dataset.categories.names) == ((1,), ("person",))
    assert dataset.ids.tolist() == ["b,1", "a,2"]  # in the file's order
    assert dataset.counts.tolist() == [3, 0]
    first = dataset[0]
    assert (first.path, first.size) == (tmp_path / "b,1.jpg", (HEIGHT, WIDTH))
    assert first.boxes.tolist() == [[1, 2, 31, 22], [-3, 0.5, 7, 60.75], [5, 6, 12, 14]]  # not clipped
    assert first.labels.tolist() == [0, 0, 0]
    assert first.ignore.tolist() == [False, False, True]
    assert first.areas.tolist() == [600, 602.5, 56]
    assert dataset.skipped == {}


@pytest.mark.parametrize(
    ("box", "corners"), [("fbox", [1, 2, 31, 22]), ("vbox", [1, 2, 31, 12]), ("hbox", [10, 2, 18, 8])]
)
def test_one_kind_of_box_is_read(tmp_path, box, corners):
    assert read_odgt(write(tmp_path / "a.odgt", [line()]), box=box)[0].boxes.tolist() == [corners]


@pytest.mark.parametrize(
    ("record", "body_ignored", "head_ignored"),
    [
        (person(), False, False),
        (person(extra=None), False, False),
        (person(extra={"ignore": 0}), False, False),
        (person(extra={"ignore": 1}), True, True),
        (person(extra={"ignore": "1"}), True, True),
        (person(extra={"ignore": "0"}), False, False),
        (person(extra={"ignore": None}), False, False),
        (person(head_attr={"ignore": 0, "occ": 1}), False, False),
        (person(head_attr={"ignore": 1}), False, True),
        (person(tag="mask"), True, True),
        (person(tag="mask", extra={"ignore": 0}), True, True),
        (person(tag="rider"), True, True),
        (person(tag=None), True, True),
        (person(tag=["person"]), True, True),
    ],
)
def test_what_is_no_person_to_find_is_an_ignored_box(tmp_path, record, body_ignored, head_ignored):
    file = write(tmp_path / "a.odgt", [line("a", [record])])
    ignored = {box: read_odgt(file, box=box).ignore.tolist() for box in ("fbox", "vbox", "hbox")}
    assert ignored == {"fbox": [body_ignored], "vbox": [body_ignored], "hbox": [head_ignored]}


def test_real_files_are_read_as_the_oracle_counts_them():
    dataset = read_odgt(CROWDHUMAN_EVAL / "gt.odgt", images_needed=False)
    expected = json.loads((CROWDHUMAN_EVAL / "expected.json").read_text())
    assert (len(dataset), len(dataset.boxes), dataset.ignore.sum()) == tuple(
        expected[key] for key in ("images", "gt_boxes", "ignored")
    )
    assert dataset[0].size == (862, 1528)


def test_every_unknown_tag_is_named(tmp_path):
    boxes = [person(), *[person(tag="rider")] * 5, person(tag="dog"), person(tag="mask")]
    _, problems = scan_odgt(write(tmp_path / "a.odgt", [line("a", boxes)]))
    assert [(f.severity, f.message, f.count) for f in problems.findings()] == [
        ("warning", "boxes tagged 'rider', neither 'person' nor 'mask'", 5),
        ("warning", "boxes tagged 'dog', neither 'person' nor 'mask'", 1),
    ]


def test_a_size_is_the_line_s_else_the_image_s_as_displayed_else_the_given_one(tmp_path):
    lines = [line("said", width=7, height=5), line("read"), line("turned"), line("given"), line("half", width=7)]
    file = write(tmp_path / "a.odgt", lines)
    draw(tmp_path / "turned.jpg", orientation=6)
    (tmp_path / "given.jpg").write_bytes(b"no image")
    sizes: dict[str, tuple[int, int]] = dict.fromkeys(("said", "read", "turned", "given", "half"), (1, 2))
    dataset = read_odgt(file, sizes=sizes)
    assert [sample.size for sample in dataset] == [(5, 7), (HEIGHT, WIDTH), (WIDTH, HEIGHT), (1, 2), (HEIGHT, WIDTH)]


def test_only_a_size_that_is_known_from_nowhere_is_an_error(tmp_path):
    file = write(tmp_path / "a.odgt", [line("a"), line("b"), line("c", width=7, height=5)])
    (tmp_path / "b.jpg").unlink()
    (tmp_path / "c.jpg").unlink()
    with pytest.raises(InputError, match=r"size is not known \(line 2: b\); put the images where they can be read"):
        read_odgt(file)
    assert scan_odgt(file)[0].ids.tolist() == ["a", "c"]
    assert read_odgt(file, sizes={"b": (3, 4)})[1].size == (3, 4)


def test_images_are_needed_unless_boxes_alone_are_used(tmp_path):
    file = write(tmp_path / "a.odgt", [line("a", width=WIDTH, height=HEIGHT)], image_folder=tmp_path / "elsewhere")
    with pytest.raises(InputError, match=rf"images that cannot be found \(a in none of {tmp_path}"):
        read_odgt(file)
    assert len(read_odgt(file, images_needed=False)) == 1


def test_images_may_have_any_suffix_and_lie_in_several_folders(tmp_path):
    file = write(tmp_path / "annotation_train.odgt", [line(id) for id in ("a.1", "b", "c", "d")], image_folder=None)
    paths = [f"CrowdHuman_train0{n}/Images/{name}" for n, name in enumerate(("a.1.png", "b.JPG", "c.jpeg"), start=1)]
    for path in [*paths, "CrowdHuman_val/Images/d.jpg"]:
        (tmp_path / path).parent.mkdir(parents=True)
        Image.new("RGB", (8, 6)).save(tmp_path / path)
    dataset = read_odgt(file, sizes={"d": (6, 8)})  # d is in the other split's folder, so that it counts as missing
    assert (dataset.folder, dataset.file_names.tolist()) == (tmp_path, [*paths, "d.jpg"])


@pytest.mark.parametrize(
    ("fbox", "reason", "kept"),
    [
        ([1, 1, 0, 5], "boxes without positive width and height", True),
        ([1, 1, 5, -3], "boxes with a negative width or height", False),
        ([1, math.nan, 5, 5], "boxes with a NaN or infinite number", False),
        ([1, 1, 10**400, 5], "boxes with a NaN or infinite number", False),
        ([WIDTH, 1, 5, 5], "boxes fully outside their image", True),
        ([1, 1, 5], "boxes that are not four numbers", False),
        ([1, 1, "five", 5], "boxes that are not four numbers", False),
        (None, "boxes that are not four numbers", False),
    ],
)
def test_boxes_that_cannot_be_trained_on_are_counted(tmp_path, fbox, reason, kept):
    dataset = read_odgt(write(tmp_path / "a.odgt", [line("a", [person(fbox=fbox), person()])]))
    assert dataset.skipped == {reason: 1}
    assert len(dataset.boxes) == 1 + kept
    assert dataset.boxes[-1].tolist() == [1, 2, 31, 22]


def test_a_box_that_cannot_be_used_is_named(tmp_path):
    boxes = [person(), person(fbox=[1.5, 1, 0, 5]), "box"]
    _, problems = scan_odgt(write(tmp_path / "a.odgt", ["", line("a", boxes)]))
    assert [finding.examples for finding in problems.findings()] == [
        ["line 2, box 3: fbox None"],
        ["line 2: fbox [1.5, 1, 0, 5] of image a"],
    ]


REFUSED = {
    "cut off": (
        [line("a"), json.dumps(line("b"))[:-9]],
        r"not JSON objects \(line 2: Unterminated .*, column 124\); ",
    ),
    "no object": ([line("a"), "[1]"], r"not JSON objects \(line 2 is a list\); write one object a line"),
    "one list": (["[", json.dumps(line("a")) + ",", json.dumps(line("b")), "]"], r"\(line 1 is a list\); write one"),
    "unclear ignore": (
        [line("a", [person(extra={"ignore": 2}), person(extra={"ignore": "maybe"})])],
        r"neither 0 nor 1 \(line 1, box 1: ignore 2, line 1, box 2: ignore 'maybe'\); write 1",
    ),
    "another encoding": (['{"ID": "\udce9"}'], r"line 1: 'utf-8' codec"),
    "brackets without end": (['{"a":' * 100_000], r"not JSON objects \(line 1: "),
    "no ID": ([{"gtboxes": []}], r"without an ID that names an image \(line 1: None\); give each the name"),
    "an ID that is no file name": ([line("a\0")], r"without an ID that names an image \(line 1: 'a\\x00'\)"),
    "an ID that leads out": (
        [line("../../a")],
        r"without an ID that names an image \(line 1: '../../a'\)",
    ),
    "an ID from the root": ([line("/etc/a")], r"without an ID that names an image \(line 1: '/etc/a'\)"),
    "two lines of an image": ([line("a"), line("b"), line("a")], r"share one ID \(lines 1 and 3: a\); merge them"),
    "no boxes": ([{"ID": "a"}], r"without a list of gtboxes \(line 1: a\); add one, empty where"),
    "no line": ([], r"no line at all \(the file is empty\); add one"),
    "detections": ([{"ID": "a", "dtboxes": []}], r"holds detections, not ground truth; give the annotation file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_training_would_get_wrong_is_refused(tmp_path, name):
    lines, sentence = REFUSED[name]
    write(tmp_path / "a.odgt")  # draws the images
    text = "\n".join(text if isinstance(text, str) else json.dumps(text) for text in lines)
    (tmp_path / "a.odgt").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=sentence) as caught:
        read_odgt(tmp_path / "a.odgt")
    assert str(caught.value).startswith(str(tmp_path / "a.odgt"))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"nowhere\.odgt cannot be read: No such file.*; check the path"):
        read_odgt(Path("nowhere.odgt"))


def test_empty_lines_and_a_byte_order_mark_do_no_harm(tmp_path):
    file = write(tmp_path / "a.odgt", [line("a"), "", " ", line("b")])
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_odgt(file).ids.tolist() == ["a", "b"]


numbers = st.integers() | st.floats() | st.sampled_from([10**400, -1, 0, 1.5])
scalars = st.none() | st.booleans() | numbers | st.text(max_size=4) | st.sampled_from(["person", "mask"])
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
attributes = st.dictionaries(st.just("ignore"), anything) | anything
boxes = st.lists(numbers, min_size=4, max_size=4) | anything
records = st.fixed_dictionaries(
    {}, optional={"tag": scalars, "fbox": boxes, "hbox": boxes, "extra": attributes, "head_attr": attributes}
)
objects = st.fixed_dictionaries(
    {}, optional={"ID": st.just("a") | anything, "gtboxes": st.lists(records | anything, max_size=3), "width": numbers}
)


def dataset_or_refusal(file: Path, box: BoxKind) -> DetectionDataset | str:
    try:
        return read_odgt(file, box=box, images_needed=False, sizes={"a": (HEIGHT, WIDTH)})
    except InputError as error:
        return str(error)


@settings(max_examples=150, deadline=None)
@given(
    first=objects.map(json.dumps) | st.text(max_size=20) | anything.map(json.dumps),
    cut=st.integers(0, 400),
    box=st.sampled_from(["fbox", "hbox"]),
)
def test_any_line_is_read_or_refused_and_nothing_else(tmp_path_factory, first, cut, box):
    file = tmp_path_factory.getbasetemp() / "any.odgt"
    sound = json.dumps(line("sound", width=WIDTH, height=HEIGHT))
    file.write_text(f"{first[:cut]}\n{sound}\n", encoding="utf-8", errors="surrogatepass")
    dataset = dataset_or_refusal(file, box)
    if isinstance(dataset, str):
        assert "\n" not in dataset
        assert dataset.encode()  # it can be printed
        return
    assert dataset.ids[-1] == "sound"
    assert np.isfinite(dataset.boxes).all()
    assert (dataset.boxes[:, 2:] >= dataset.boxes[:, :2]).all()
