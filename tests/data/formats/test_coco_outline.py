"""The box around a polygon or a mask is that of its points, and that of pycocotools."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as pycocotools

from tests.data.coco_files import HEIGHT, WIDTH, annotation, content, write
from uncrowd.boxes import FAR
from uncrowd.data.formats.coco import scan_coco
from uncrowd.data.formats.coco_outline import as_outline, outline_box
from uncrowd.data.run_lengths import compress, decompress

SIZE = (HEIGHT, WIDTH)
TRIANGLE = [10, 5, 30.5, 8, 12, 20]


def run_lengths(mask: np.ndarray) -> list[int]:
    changes = np.flatnonzero(np.diff(np.concatenate([[0], mask.T.reshape(-1), [0]]))).tolist()
    ends = [*changes[: mask.size], mask.size] if not mask.T.reshape(-1)[-1] else changes
    return np.diff([0, *ends]).tolist()


def test_polygons():
    assert outline_box([TRIANGLE], SIZE) == (10, 5, 30.5, 20)
    assert outline_box(TRIANGLE, SIZE) == (10, 5, 30.5, 20)  # as VIA writes it
    assert outline_box([TRIANGLE, [0, 40, 2, 41, 3, 44]], SIZE) == (0, 5, 30.5, 44)


@pytest.mark.parametrize("seed", range(20))
def test_masks_are_bounded_as_by_pycocotools(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros(SIZE, dtype=np.uint8)
    for _ in range(rng.integers(1, 4)):
        x, y, width, height = rng.integers((0, 0, 1, 1), (WIDTH, HEIGHT, 20, 20))
        mask[y : y + height, x : x + width] = 1
    encoded: Any = pycocotools.encode(np.asfortranarray(mask))
    x, y, width, height = pycocotools.toBbox(encoded).tolist()
    box = (x, y, x + width, y + height)
    assert outline_box({"size": [*SIZE], "counts": encoded["counts"].decode()}, SIZE) == box
    assert outline_box({"size": [*SIZE], "counts": run_lengths(mask)}, SIZE) == box


NO_OUTLINES = [
    None, "polygon", [], [[]], {}, [[1, 2, 3, 4]], [[1, 2, 3, 4, 5]], [[1, 2, 3, 4, 5, "6"]],
    [[1, 2, 3, 4, 5, math.nan]], [TRIANGLE, 3], [TRIANGLE, [True, 2]],
    {"size": [HEIGHT, WIDTH]}, {"size": [WIDTH, HEIGHT], "counts": [5, 5]}, {"size": [HEIGHT, WIDTH], "counts": [5]},
    {"size": [HEIGHT, WIDTH], "counts": [5, -1, 5]}, {"size": [HEIGHT, WIDTH], "counts": [5, 10**400]},
    {"size": [HEIGHT, WIDTH], "counts": [5, 5.5]}, {"size": [HEIGHT, WIDTH], "counts": "o" * 99},
    {"size": [HEIGHT, WIDTH], "counts": "é"}, {"size": [HEIGHT, WIDTH], "counts": "1o"},
]  # fmt: skip


NOT_READ = ({"size": [HEIGHT, WIDTH], "counts": "o" * 99}, {"size": [HEIGHT, WIDTH], "counts": "1o"})


@pytest.mark.parametrize("outline", NO_OUTLINES, ids=repr)
def test_what_is_no_outline_is_not_kept(outline):
    """The text of a mask is not read before it is needed."""
    assert as_outline(outline, SIZE) == (outline["counts"] if outline in NOT_READ else None)


def test_outlines_are_kept_as_polygons_or_as_text(tmp_path):
    runs = [WIDTH, 5, HEIGHT * 3, 7]
    data = content(
        annotations=[
            annotation(1, 2, segmentation=[TRIANGLE, [1, 2, 3, 4], [0, 0, 4, 0, 4, 4]]),
            annotation(2, 2, segmentation={"size": [*SIZE], "counts": runs}),
            annotation(3, 1, segmentation={"size": [*SIZE], "counts": compress(runs)}),
            annotation(4, 1, segmentation=[[1e300, 0, 1, 1, 2, 2]]),
            annotation(5, 1),
        ]
    )
    first, second = scan_coco(write(tmp_path / "a.json", data))[0]
    assert first.outlines[0] == second.outlines[1] == compress(runs)
    assert isinstance(first.outlines[1], tuple)
    assert first.outlines[1][0].max() == np.float32(FAR), "far away, but finite"
    assert first.outlines[2] is None
    assert isinstance(second.outlines[0], tuple)
    assert [polygon.tolist() for polygon in second.outlines[0]] == [
        np.array(TRIANGLE).reshape(-1, 2).tolist(),
        [[0, 0], [4, 0], [4, 4]],
    ], "a polygon of two points is none"


@given(runs=st.lists(st.integers(0, 5000), max_size=12))
def test_text_of_run_lengths_gives_them_back(runs):
    assert decompress(compress(runs)) == runs


@pytest.mark.parametrize("seed", range(10))
def test_text_of_run_lengths_is_pycocotools(seed):
    mask = np.asfortranarray(np.random.default_rng(seed).integers(0, 2, SIZE, dtype=np.uint8))
    encoded: Any = pycocotools.encode(mask)
    assert compress(run_lengths(mask)) == encoded["counts"].decode()


@pytest.mark.parametrize("outline", NO_OUTLINES, ids=repr)
def test_what_is_no_outline_has_no_box(outline):
    assert outline_box(outline, SIZE) is None


@settings(max_examples=200, deadline=None)
@given(counts=st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12) | st.lists(st.integers(-2, 900)))
def test_any_counts_give_a_box_in_the_image_or_none(counts):
    box = outline_box({"size": [*SIZE], "counts": counts}, SIZE)
    assert box is None or (0 <= box[0] < box[2] <= WIDTH and 0 <= box[1] < box[3] <= HEIGHT)


@pytest.mark.parametrize("bbox", [None, [], (0, 0, 0, 0)])
def test_an_annotation_with_an_outline_alone_has_the_box_around_it(tmp_path, bbox):
    data = content(annotations=[annotation(1, 1, bbox, segmentation=[TRIANGLE]), annotation(2, 2)])
    dataset, problems = scan_coco(write(tmp_path / "a.json", data))
    assert dataset.boxes.tolist() == [[10, 5, 30.5, 20], [1, 2, 31, 22]]
    assert [(f.kind, f.severity, f.count) for f in problems.findings()] == [("box of an outline", "note", 1)]


def test_a_box_wins_over_the_outline(tmp_path):
    data = content(annotations=[annotation(1, 1, (3, 4, 5, 0), segmentation=[TRIANGLE])])
    assert scan_coco(write(tmp_path / "a.json", data))[0].boxes.tolist() == [[3, 4, 8, 4]]
