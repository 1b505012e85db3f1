"""COCO scores equal those of pycocotools, and are also defined where pycocotools prints -1 or fails."""

import contextlib
import io
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from uncrowd.errors import InputError
from uncrowd.evaluation.coco import CocoEvaluator, limits_up_to, rank_images
from uncrowd.evaluation.protocol import Scores
from uncrowd.structures import Categories, Detections, ImageId, Sample

CATEGORIES = Categories(ids=(3, 7, 12), names=("person", "dog", "kite"))


def make_sample(id: ImageId, boxes, labels=None, ignore=None) -> Sample:
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    n = len(boxes)
    return Sample(
        id=id,
        path=Path("unused.jpg"),
        size=(200, 300),
        boxes=boxes,
        labels=np.zeros(n, np.int64) if labels is None else np.asarray(labels, np.int64),
        ignore=np.zeros(n, bool) if ignore is None else np.asarray(ignore, bool),
        areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
    )


def make_detections(boxes, scores, labels=None, categories=CATEGORIES) -> Detections:
    return Detections(
        boxes=torch.as_tensor(boxes, dtype=torch.float64).reshape(-1, 4),
        scores=torch.as_tensor(scores, dtype=torch.float64),
        labels=torch.zeros(len(scores), dtype=torch.int64) if labels is None else torch.as_tensor(labels),
        categories=categories,
    )


def random_boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    # Sides from 5 to 160 pixels give all three of COCO's sizes; some corners are outside the image.
    corner = rng.uniform(-30, 250, (n, 2)).round()
    return np.concatenate([corner, corner + rng.choice([5, 20, 31, 60, 95, 120, 160], (n, 2))], axis=1)


def random_data(seed: int) -> tuple[list[Sample], dict[ImageId, Detections]]:
    """Returns images with crowds, areas smaller than the box and equal scores; some have no boxes or no detections."""
    rng = np.random.default_rng(seed)
    samples, detections = [], {}
    for id in rng.permutation(50)[:8].tolist():
        n = int(rng.integers(0, 9))
        sample = make_sample(id, random_boxes(rng, n), rng.integers(0, 3, n), rng.random(n) < 0.2)
        samples.append(replace(sample, areas=sample.areas * rng.uniform(0.3, 1, n)))
        if rng.random() < 0.2:
            continue
        near = np.repeat(sample.boxes, 2, axis=0)
        boxes = np.concatenate([near + rng.normal(0, 4, near.shape), random_boxes(rng, 20)])
        labels = np.concatenate([np.repeat(sample.labels, 2), rng.integers(0, 3, 20)])
        scores = -np.sort(-rng.choice([0.1, 0.3, 0.5, 0.7, 0.9], len(boxes)))
        order = rng.permutation(len(boxes))
        detections[id] = make_detections(boxes[order], scores, labels[order])
    return samples, detections


def pycocotools_scores(samples, detections, max_dets) -> tuple[dict[str, float | None], dict[str, float | None]]:
    truth: Any = COCO()  # pycocotools' type annotations are stricter than its code
    truth.dataset = {
        "images": [{"id": s.id, "height": s.size[0], "width": s.size[1]} for s in samples],
        "categories": [{"id": id, "name": name} for id, name in zip(CATEGORIES.ids, CATEGORIES.names, strict=True)],
        "annotations": [
            {
                "id": 1000 * n + i + 1,
                "image_id": s.id,
                "category_id": CATEGORIES.ids[s.labels[i]],
                "bbox": [*s.boxes[i, :2], *(s.boxes[i, 2:] - s.boxes[i, :2])],
                "area": s.areas[i],
                "iscrowd": int(s.ignore[i]),
            }
            for n, s in enumerate(samples)
            for i in range(len(s.boxes))
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found = truth.loadRes([record for id, d in detections.items() for record in d.to_coco(id)])
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.maxDets = list(max_dets)
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]

    def mean(values: np.ndarray) -> float | None:
        return values[values > -1].mean() if (values > -1).any() else None

    own = list(max_dets).index(100) if 100 in max_dets else -1
    values = {
        "AP": mean(precision[:, :, :, 0, own]),
        "AP50": mean(precision[0, :, :, 0, own]),
        "AP75": mean(precision[5, :, :, 0, own]),
        "APs": mean(precision[:, :, :, 1, own]),
        "APm": mean(precision[:, :, :, 2, own]),
        "APl": mean(precision[:, :, :, 3, own]),
        **{f"AR@{k}": mean(recall[:, :, 0, i]) for i, k in enumerate(max_dets)},
        "ARs": mean(recall[:, :, 1, own]),
        "ARm": mean(recall[:, :, 2, own]),
        "ARl": mean(recall[:, :, 3, own]),
        **{f"AP@{k}": mean(precision[:, :, :, 0, i]) for i, k in enumerate(max_dets) if k > 100},
        **{f"AP50@{k}": mean(precision[0, :, :, 0, i]) for i, k in enumerate(max_dets) if k > 100},
    }
    per_class = {name: mean(precision[:, :, label, 0, own]) for label, name in enumerate(CATEGORIES.names)}
    if tuple(max_dets) == (1, 10, 100):  # the only limits that pycocotools' own summary supports
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.summarize()
        assert [-1 if v is None else v for v in values.values()] == pytest.approx(evaluation.stats.tolist(), abs=1e-12)
    return values, per_class


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    max_dets=st.sampled_from([(1, 10, 100), (1, 10, 300), (1, 10, 100, 500), (2, 5), (3,), (1, 2, 3, 9)]),
)
def test_every_score_equals_that_of_pycocotools(seed: int, max_dets: tuple[int, ...]) -> None:
    samples, detections = random_data(seed)
    if not detections:
        return
    scores = CocoEvaluator(max_dets=max_dets).evaluate(samples, detections, CATEGORIES)
    values, per_class = pycocotools_scores(samples, detections, max_dets)
    assert scores.values == pytest.approx(values, abs=1e-9)
    assert scores.per_class == pytest.approx(per_class, abs=1e-9)


def test_limits_above_100_add_scores_and_leave_cocos_own_unchanged() -> None:
    # 150 people side by side, all found, of whom 100 detections per image can reach two thirds.
    left = np.arange(150.0) * 10
    boxes = np.stack([left, np.zeros(150), left + 8, np.full(150, 20.0)], axis=1)
    samples = [make_sample(1, boxes)]
    detections: dict[ImageId, Detections] = {1: make_detections(boxes, np.linspace(1, 0.5, 150))}
    own = CocoEvaluator().evaluate(samples, detections, CATEGORIES)
    more = CocoEvaluator(max_dets=(1, 10, 100, 120, 300)).evaluate(samples, detections, CATEGORIES)
    assert own.values["AR@100"] == pytest.approx(100 / 150)
    assert {key: more.values[key] for key in own.values} == own.values
    assert more.per_class == own.per_class
    assert more.headline == "AP"
    assert more.values == pytest.approx(pycocotools_scores(samples, detections, (1, 10, 100, 120, 300))[0], abs=1e-9)
    beside = {key: value for key, value in more.values.items() if key not in own.values}
    of_120 = {"AR@120": 120 / 150, "AP@120": 81 / 101, "AP50@120": 81 / 101}
    assert beside == pytest.approx(of_120 | {"AR@300": 1, "AP@300": 1, "AP50@300": 1})
    assert more.meanings["AP50@120"].startswith("as AP50, but over the best 120 boxes")
    # If 100 is not among the limits, the last one counts.
    enough = CocoEvaluator(max_dets=(1, 10, 300)).evaluate(samples, detections, CATEGORIES)
    assert enough.main == enough.values["AP@300"] == pytest.approx(1)


def test_ids_may_be_text_and_categories_anything() -> None:
    samples, detections = random_data(seed=5)
    as_text = {id: f"{id:03d}.jpg" for id in range(50)}  # keeps the order, on which equal scores depend
    odd = Categories(ids=(-4, 0, 10**12), names=CATEGORIES.names)
    renamed: dict[ImageId, Detections] = {as_text[int(k)]: replace(d, categories=odd) for k, d in detections.items()}
    expected = CocoEvaluator().evaluate(samples, detections, CATEGORIES)
    text_samples = [replace(s, id=as_text[int(s.id)]) for s in samples]
    assert CocoEvaluator().evaluate(text_samples, renamed, odd) == expected


def test_undefined_scores_are_none_and_nothing_warns() -> None:
    box = [[10, 10, 50, 50]]  # 1600 square pixels, a medium object
    evaluator = CocoEvaluator()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Without detections, scores are 0 if there is ground truth for them, else None.
        scores = evaluator.evaluate([make_sample(1, box), make_sample(2, [])], {}, CATEGORIES)
        assert scores.values["AP"] == scores.values["APm"] == scores.values["AR@100"] == 0
        assert scores.values["APs"] is scores.values["ARl"] is None
        assert scores.per_class == {"person": 0, "dog": None, "kite": None}
        # Without ground truth, with only ignored ground truth, or without images, no score is defined.
        found: dict[ImageId, Detections] = {1: make_detections(box, [0.9])}
        cases: list[tuple[list[Sample], dict[ImageId, Detections]]] = [
            ([make_sample(1, [])], found),
            ([make_sample(1, [])], {1: make_detections([], [])}),
            ([make_sample(1, box, ignore=[True])], found),
            ([], {}),
        ]
        for samples, detections in cases:
            scores = evaluator.evaluate(samples, detections, CATEGORIES)
            assert set(scores.values.values()) == {None}
            assert set(scores.per_class.values()) == {None}
        assert " - " in scores.table()


def test_the_table_is_plain_text_in_percent() -> None:
    box = [[10, 10, 50, 50]]
    found: dict[ImageId, Detections] = {1: make_detections(box, [0.9])}
    lines = CocoEvaluator().evaluate([make_sample(1, box)], found, CATEGORIES).table().splitlines()
    assert lines[0].split()[:4] == ["AP", "AP50", "AP75", "APs"]
    assert lines[1].split()[:4] == ["100.0", "100.0", "100.0", "-"]
    assert lines[3:] == ["person  100.0", "dog         -", "kite        -"]


def test_many_classes_are_listed_in_columns_without_those_that_have_no_ground_truth() -> None:
    per_class = {f"class {n}": None if n % 4 == 0 else n / 100 for n in range(80)}
    lines = Scores(headline="AP", values={"AP": 0.5}, per_class=per_class).table().splitlines()
    assert lines[-1] == "20 classes have no ground truth"
    assert max(map(len, lines)) <= 120
    assert len(lines) < 20
    listed = " ".join(lines[3:-1])
    assert [n for n in range(80) if f"class {n} " in listed + " "] == [n for n in range(80) if n % 4]
    assert "class 79   79.0" in listed


def test_classes_with_the_same_name_are_followed_by_their_ids() -> None:
    twins = Categories(ids=(1, 2), names=("cell", "cell"))
    samples = [make_sample(1, [[0, 0, 9, 9], [50, 50, 59, 59]], labels=[0, 1])]
    found: dict[ImageId, Detections] = {1: make_detections([[0, 0, 9, 9]], [0.9], [0], twins)}
    per_class = CocoEvaluator().evaluate(samples, found, twins).per_class
    assert per_class == pytest.approx({"cell (1)": 1, "cell (2)": 0})


@pytest.mark.parametrize(
    ("detections", "sentence"),
    [
        ({1: make_detections([], []), "7": make_detections([], [])}, "1 image.* '7'"),
        ({1: make_detections([[0, 0, 1, 1]], [1], [0], Categories(ids=(1,), names=("person",)))}, "1 person.*3 person"),
    ],
)
def test_detections_of_another_dataset_are_refused(detections: dict[ImageId, Detections], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        CocoEvaluator().evaluate([make_sample(1, [])], detections, CATEGORIES)


@pytest.mark.parametrize("max_dets", [(), (0, 10), (100, 10), (10, 10)])
def test_limits_must_ascend(max_dets: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="ascending"):
        CocoEvaluator(max_dets=max_dets)


def test_images_are_ranked_worst_first() -> None:
    two = [[0, 0, 20, 20], [40, 0, 60, 20]]
    samples = [
        make_sample("all found", two),
        make_sample("one missed", two),
        make_sample("nothing there", []),
        make_sample("ghost", []),
        make_sample("all missed", two),
        make_sample("wrong class", two[:1], labels=[1]),
        make_sample("a crowd beside", two, ignore=[False, True]),
    ]
    detections: dict[ImageId, Detections] = {
        "all found": make_detections([*two, [100, 100, 120, 120]], [0.9, 0.8, 0.1]),  # the third is below the threshold
        "one missed": make_detections(two[:1], [0.9]),
        "ghost": make_detections(two[:1], [0.9]),
        "wrong class": make_detections(two[:1], [0.9]),
        "a crowd beside": make_detections([two[0], two[1], [41, 0, 61, 20]], [0.9, 0.8, 0.7]),
    }
    ranking = rank_images(samples, detections, CATEGORIES, threshold=0.5)
    counts = {score.id: (score.found, score.wrong, score.missed) for score in ranking}
    assert counts == {
        "all found": (2, 0, 0),
        "one missed": (1, 0, 1),
        "nothing there": (0, 0, 0),
        "ghost": (0, 1, 0),
        "all missed": (0, 0, 2),
        "wrong class": (0, 1, 1),
        "a crowd beside": (1, 0, 0),
    }
    assert {score.id for score in ranking[:2]} == {"all missed", "wrong class"}
    assert [score.id for score in ranking[2:4]] == ["ghost", "one missed"]
    assert [score.f1 for score in ranking] == pytest.approx([0, 0, 0, 2 / 3, 1, 1, 1])
    assert rank_images([], {}, CATEGORIES, threshold=0.5) == []


@pytest.mark.parametrize(("most", "limits"), [(7, (1, 10, 100)), (100, (1, 10, 100)), (500, (1, 10, 100, 500))])
def test_limits_include_the_most_detections_of_an_image_if_above_100(most: int, limits: tuple[int, ...]) -> None:
    assert limits_up_to(most) == limits
