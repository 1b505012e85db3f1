"""Detections written as odgt are read unchanged, and so are CrowdDet's; other files are refused in one sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from uncrowd.data.formats.odgt import PERSON
from uncrowd.data.results.coco import write_coco_results
from uncrowd.data.results.file import read_detections, read_results
from uncrowd.data.results.odgt import write_odgt_results
from uncrowd.errors import InputError
from uncrowd.structures import Categories, Detections, ImageId

CROWDHUMAN_EVAL = Path(__file__).parents[2] / "fixtures/crowdhuman_eval"


def found(box: Any = (10, 20, 30, 40), score: Any = 0.5, **more: Any) -> dict[str, Any]:
    return {"box": list(box) if isinstance(box, tuple) else box, "score": score, "tag": 1} | more


def line(id: Any = "a", dtboxes: Any = None, **more: Any) -> dict[str, Any]:
    return {"ID": id, "dtboxes": [found()] if dtboxes is None else dtboxes} | more


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(f"{text if isinstance(text, str) else json.dumps(text)}\n" for text in lines))
    return path


def test_boxes_become_corners_best_first(tmp_path):
    without_tag = {"box": [1, 2, 0.5, 0], "score": 0.75}
    path = write(tmp_path / "found.odgt", [line("b", []), line("a", [found(), without_tag])])
    detections = read_detections(path, PERSON, ["a", "b", "c"])
    assert list(detections) == ["a", "b", "c"]
    assert detections["a"].boxes.tolist() == [[1, 2, 1.5, 2], [10, 20, 40, 60]]
    assert detections["a"].scores.tolist() == [0.75, 0.5]
    assert detections["a"].labels.tolist() == [0, 0]
    assert [len(detections[id]) for id in ("b", "c")] == [0, 0]  # a line without detections, and no line


def test_equal_scores_keep_the_order_of_the_file(tmp_path):
    lines = [line(id, [found((n, 0, 1, 1), [0.5, 0.9][n // 2]) for n in range(4)]) for id in ("b", "a")]
    detections = read_detections(write(tmp_path / "found.odgt", lines), PERSON, ["a", "b"])
    assert all(detections[id].boxes[:, 0].tolist() == [2, 3, 0, 1] for id in ("a", "b"))


def test_the_content_of_a_file_says_its_format(tmp_path):
    odgt = write(tmp_path / "odgt.json", [line("a")])
    assert len(read_detections(odgt, PERSON, ["a"])["a"]) == 1
    coco = tmp_path / "coco.json"
    write_coco_results(coco, read_detections(odgt, PERSON, ["a"]))
    assert read_detections(coco, PERSON, ["a"])["a"].boxes.tolist() == [[10, 20, 40, 60]]
    nothing = write(tmp_path / "nothing.odgt", [])
    assert len(read_detections(nothing, PERSON, ["a"])["a"]) == 0


def test_all_detections_of_crowddet_are_read():
    """`expected.json` holds what CrowdDet's own evaluation counts."""
    ids = [json.loads(text)["ID"] for text in (CROWDHUMAN_EVAL / "gt.odgt").read_text().splitlines()]
    detections = read_detections(CROWDHUMAN_EVAL / "detections.odgt", PERSON, ids)
    expected = json.loads((CROWDHUMAN_EVAL / "expected.json").read_text())
    assert sum(map(len, detections.values())) == expected["detections"]


def test_ground_truth_beside_the_detections_is_ignored(tmp_path):
    path = write(tmp_path / "found.odgt", [line("a", gtboxes=[{"box": [1, 2, 3, 4], "tag": -1}])])
    assert len(read_detections(path, PERSON, ["a"])["a"]) == 1


def test_images_may_be_named_by_their_files(tmp_path):
    path = write(tmp_path / "found.odgt", [line("a"), line("b")])
    assert [len(found) for found in read_detections(path, PERSON, [1, 2], ["x/a.jpg", "x/b.jpg"]).values()] == [1, 1]


def test_sizes_are_read_from_lines_that_give_them(tmp_path):
    lines = [line("a", height=30, width=40), line("b"), line("c", height=30), line("d", height=0, width=4)]
    assert read_results(write(tmp_path / "found.odgt", lines)).sizes == {"a": (30, 40)}
    write_coco_results(tmp_path / "found.json", {})
    assert read_results(tmp_path / "found.json").sizes == {}


coordinates = st.floats(-1e4, 1e4, width=32).map(lambda x: round(x, 3))


@settings(max_examples=40, deadline=None)
@given(
    images=st.dictionaries(
        st.integers(0, 10**6) | st.text("abc. é,", min_size=1).map(lambda text: f"n{text}"),
        st.lists(st.tuples(coordinates, coordinates, st.floats(0, 1e4, width=32), st.floats(0, 1, width=32))),
        max_size=4,
    )
)
def test_written_and_read_again_is_the_same_to_the_last_bit(tmp_path_factory, images):
    path = tmp_path_factory.mktemp("results") / "found.odgt"
    detections: dict[ImageId, Detections] = {}
    for id, rows in images.items():
        corner = torch.tensor([row[:2] for row in rows], dtype=torch.float32).reshape(-1, 2)
        side = torch.tensor([[row[2], row[2]] for row in rows], dtype=torch.float32).reshape(-1, 2)
        detections[id] = Detections(
            boxes=torch.cat([corner, corner + side], dim=1),
            scores=torch.tensor(sorted((row[3] for row in rows), reverse=True), dtype=torch.float32),
            labels=torch.zeros(len(rows), dtype=torch.int64),
            categories=PERSON,
        )
    sizes: dict[ImageId, tuple[int, int]] = {id: (n + 1, 7) for n, id in enumerate(detections)}
    write_odgt_results(path, detections, sizes)
    again = read_detections(path, PERSON, list(detections))
    assert again.keys() == detections.keys()
    for id, before in detections.items():
        torch.testing.assert_close(again[id].boxes, before.boxes.double(), rtol=0, atol=1e-11)
        assert torch.equal(again[id].boxes.float(), before.boxes)
        assert torch.equal(again[id].scores, before.scores.double())
    assert read_results(path).sizes == {str(id): size for id, size in sizes.items()}
    assert [file.name for file in path.parent.iterdir()] == ["found.odgt"]  # no temporary file is left


def test_odgt_has_one_class(tmp_path):
    two = Categories(ids=(1, 2), names=("person", "dog"))
    nothing = Detections(boxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0).long(), categories=two)
    with pytest.raises(InputError, match=r"found\.odgt cannot hold 2 classes.*write COCO results"):
        write_odgt_results(tmp_path / "found.odgt", {"a": nothing}, {"a": (1, 1)})
    with pytest.raises(InputError, match=r"one class, but the dataset has 2; give a COCO results file"):
        read_detections(write(tmp_path / "found.odgt", [line()]), two, ["a"])


GROUND_TRUTH = {"ID": "a", "gtboxes": []}


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([line("b"), json.dumps(line("a"))[:-5]], r"line 2: .*, column \d+; the file may be cut off"),
        (["3"], r"line 1 is 3; write one object a line"),
        ([[line("a")]], r"line 1 is a list; write one object a line"),
        ([GROUND_TRUTH], r"is ground truth \(it has 'gtboxes'\), not detections; give a results file"),
        ([{"dtboxes": []}], r"line 1 has no ID that names an image; its ID is None"),
        ([line("a", 3)], r"line 1 has no list of dtboxes; give an empty one"),
        ([line("a"), line("c")], r"line 2 has the ID c, which the dataset does not have: give the detections of"),
        ([line("a"), "", line("a")], r"line 3 has the ID a, which line 1 has too; merge them"),
        ([line("a", [found(), 3])], r"line 1: detection 2 lacks its box or score"),
        ([line("a", [{"box": [1, 2, 3, 4]}])], r"line 1: detection 1 lacks its box or score"),
        (
            [line("a", [found(tag=2)])],
            r"line 1: detection 1 has the tag 2, but .* is 1; leave the others out",
        ),
        ([line("a", [found(tag=True)])], r"line 1: detection 1 has the tag True"),
        ([line("a", [found(score=True)])], r"line 1: detection 1 has a bbox or score that is not a number: .*True"),
        ([line("a", [found(score="0.5")])], r"line 1: detection 1 has a bbox or score that is not a number: .*'0\.5'"),
        ([line("a", [found((1, 2, 3))])], r"line 1: detection 1 has the bbox \[1, 2, 3\] instead of four numbers"),
        (
            [line("b", []), line("a", [found(), found(score=float("nan"))])],
            r"line 2: detection 2 .*score that is not",
        ),
        ([line("b"), line("a", [found((0, 0, float("inf"), 1))])], r"line 2: detection 1 .*bbox that is not finite"),
        ([line("b"), line("a", [found((0, 1e308, 1, 1e308))])], r"line 2: detection 1 .*bbox that is not finite"),
        (
            [line("b"), line("a", [found((0, 0, 1, -1))])],
            r"line 2: detection 1 .*negative width or height \(1 in all\)",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(tmp_path, lines, sentence):
    path = write(tmp_path / "found.odgt", lines)
    with pytest.raises(InputError, match=sentence) as error:
        read_detections(path, PERSON, ["a", "b"])
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.odgt cannot be read: No such file"):
        read_detections(tmp_path / "absent.odgt", PERSON, ["a"])
    with pytest.raises(InputError, match=r"absent\.odgt cannot be written: No such file"):
        write_odgt_results(tmp_path / "missing/absent.odgt", {}, {})


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_completely_or_refused(tmp_path_factory, data):
    text = bytearray(b"".join(json.dumps(line(id, height=3, width=4)).encode() + b"\n" for id in ("a", "b")))
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.odgt"
    path.write_bytes(text)
    try:
        detections = read_detections(path, PERSON, ["a", "b"])
    except InputError:
        return
    assert sum(map(len, detections.values())) == 2  # nothing is lost
    assert all(np.isfinite(one.boxes.numpy()).all() for one in detections.values())


numbers = st.integers() | st.floats()
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["ID", "dtboxes", "box", "x"]), inner),
    max_leaves=5,
)
boxes = st.fixed_dictionaries(
    {"box": st.lists(numbers, min_size=4, max_size=4) | anything, "score": st.floats(0, 1) | anything},
    optional={"tag": st.just(1) | anything},
)
records = st.fixed_dictionaries(
    {"ID": st.sampled_from("ab") | anything, "dtboxes": st.lists(boxes | anything, max_size=2) | anything}
)


@settings(max_examples=300, deadline=None)
@given(content=st.lists(records | anything, max_size=3))
def test_any_lines_are_read_completely_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "anything.odgt"
    path.write_text("".join(json.dumps(record) + "\n" for record in content))
    detections, refusal = {}, ""
    try:
        detections = read_detections(path, PERSON, ["a", "b"])
    except InputError as error:
        refusal = str(error)
    if refusal:
        assert str(path) in refusal
        assert "\n" not in refusal
        return
    assert sum(map(len, detections.values())) == sum(len(record["dtboxes"]) for record in content)
    for one in detections.values():
        assert np.isfinite(one.boxes.numpy()).all()
        assert (one.boxes[:, 2:] >= one.boxes[:, :2]).all()
        assert (one.scores.diff() <= 0).all()
