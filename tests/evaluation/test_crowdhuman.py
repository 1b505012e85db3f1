"""CrowdHuman scores equal those of CrowdDet on a fixture, and those of a plain twin on unusual data."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plain import crowdhuman as plain
from uncrowd.errors import InputError
from uncrowd.evaluation.crowd_overlaps import crowd_overlaps
from uncrowd.evaluation.crowdhuman import CrowdHumanEvaluator
from uncrowd.evaluation.jaccard_index import count_pairs, jaccard_index
from uncrowd.structures import Categories, Detections, ImageId, Sample

FIXTURES = Path(__file__).parents[1] / "fixtures" / "crowdhuman_eval"
PERSON = Categories(ids=(1,), names=("person",))
SIZE = (200, 300)


def make_sample(id: ImageId, objects, regions=(), size=SIZE) -> Sample:
    boxes = np.asarray([*objects, *regions], dtype=np.float64).reshape(-1, 4)
    n = len(boxes)
    return Sample(
        id=id,
        path=Path("unused.jpg"),
        size=size,
        boxes=boxes,
        labels=np.zeros(n, np.int64),
        ignore=np.arange(n) >= len(objects),
        areas=np.zeros(n),
    )


def make_detections(boxes, scores, categories=PERSON, dtype=torch.float64) -> Detections:
    return Detections(
        boxes=torch.as_tensor(np.asarray(boxes, dtype=np.float64).reshape(-1, 4), dtype=dtype),
        scores=torch.as_tensor(np.asarray(scores, dtype=np.float64), dtype=dtype),
        labels=torch.zeros(len(scores), dtype=torch.int64),
        categories=categories,
    )


def as_plain(sample: Sample, found: Detections | None) -> plain.Image:
    boxes, scores = ([], []) if found is None else (found.boxes.tolist(), found.scores.tolist())
    return plain.Image(
        size=sample.size,
        objects=sample.boxes[~sample.ignore].tolist(),
        regions=sample.boxes[sample.ignore].tolist(),
        detections=list(zip(boxes, scores, strict=True)),
    )


def evaluate(samples, detections) -> dict[str, float | None]:
    return CrowdHumanEvaluator().evaluate(samples, detections, PERSON).values


def crowddet_fixture() -> tuple[list[Sample], dict[ImageId, Detections]]:
    truth, found = (
        [json.loads(line) for line in (FIXTURES / name).read_text().splitlines()]
        for name in ("gt.odgt", "detections.odgt")
    )
    samples = []
    for record in truth:
        by_use: dict[bool, list[list[float]]] = {False: [], True: []}
        for box in record["gtboxes"]:
            by_use[box["tag"] != "person" or bool(box["extra"].get("ignore", 0))].append(corners(box["fbox"]))
        samples.append(make_sample(record["ID"], by_use[False], by_use[True], (record["height"], record["width"])))
    detections: dict[ImageId, Detections] = {
        record["ID"]: make_detections(
            [corners(box["box"]) for box in record["dtboxes"]], [box["score"] for box in record["dtboxes"]]
        )
        for record in found
    }
    return samples, detections


def corners(box_xywh: list[float]) -> list[float]:
    x, y, width, height = box_xywh
    return [x, y, x + width, y + height]


def test_scores_equal_those_of_crowddet() -> None:
    samples, detections = crowddet_fixture()
    expected = json.loads((FIXTURES / "expected.json").read_text())
    assert sum(map(len, detections.values())) == expected["detections"]
    values = evaluate(samples, detections)
    assert values == pytest.approx({key: expected[key] for key in ("AP", "mMR", "Recall", "JI")}, abs=1e-9)
    counts = [count_pairs(crowd_overlaps(sample, detections.get(sample.id))) for sample in samples]
    assert jaccard_index(counts).tolist() == pytest.approx(expected["JI_by_threshold"], abs=1e-9)


def test_the_plain_twin_equals_crowddet_too() -> None:
    samples, detections = crowddet_fixture()
    expected = json.loads((FIXTURES / "expected.json").read_text())
    twin = plain.scores([as_plain(sample, detections.get(sample.id)) for sample in samples])
    assert twin == pytest.approx({key: expected[key] for key in ("AP", "mMR", "Recall", "JI")}, abs=1e-9)


def crowd(seed: int, images: int) -> tuple[list[Sample], dict[ImageId, Detections]]:
    """Returns images with clustered people, ignore regions, equal scores and boxes of every kind; some have none.

    Corners are not round numbers, because either of two pairings with the same total IoU may be counted.
    """
    rng = np.random.default_rng(seed)
    samples, detections = [], {}
    for id in range(images):
        people, regions = rng.integers(0, 7), rng.choice([0, 0, 1, 3])
        corner = rng.uniform((-40, -40), (280, 180)) + rng.normal(0, rng.choice([6, 80]), (people, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(20, 60, (people, 2))], axis=1)
        corner = rng.uniform((-40, -40), (280, 180), (regions, 2))
        samples.append(make_sample(id, boxes, np.concatenate([corner, corner + rng.uniform(10, 200, (regions, 2))], 1)))
        near = np.repeat(boxes, rng.integers(0, 4), axis=0)
        corner = rng.uniform((-80, -80), (320, 220), (8, 2))
        anywhere = np.concatenate(
            [corner, corner + rng.uniform(-5, 60, (8, 2)) * rng.choice([0, 1], (8, 1), p=[0.1, 0.9])], 1
        )
        found = np.concatenate([near + rng.normal(0, 4, near.shape), anywhere])
        found = np.concatenate([found, found[rng.random(len(found)) < 0.1]])  # some of them twice
        found = found[rng.permutation(len(found))][: rng.choice([0, 3, 40], p=[0.1, 0.2, 0.7])]
        if rng.random() < 0.9:
            detections[id] = make_detections(found, rng.choice([0, 0.1, 0.25, 0.3, 0.6, 0.95, 1], len(found)))
    return samples, detections


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), images=st.integers(0, 6))
def test_every_score_equals_that_of_the_plain_twin(seed: int, images: int) -> None:
    samples, detections = crowd(seed, images)
    expected = plain.scores([as_plain(sample, detections.get(sample.id)) for sample in samples])
    assert evaluate(samples, detections) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_pairs_have_the_largest_total_iou(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 12, (7, 2))
    boxes = np.concatenate([corner, corner + 40], axis=1)
    objects, found = boxes[:3], boxes[3:]
    overlaps = [[plain.iou(a, b) for b in objects.tolist()] for a in found.tolist()]
    best: tuple[float, int] = (0.0, 0)
    for chosen in itertools.permutations(range(4), 3):
        used = [iou for n, row in enumerate(chosen) if (iou := overlaps[row][n]) > plain.OVERLAP]
        best = max(best, (sum(used), len(used)))
    counts = count_pairs(crowd_overlaps(make_sample(1, objects), make_detections(found, np.full(4, 0.05))))
    assert counts.pairs.tolist() == [best[1], *[0] * 9]


# One person, 100 x 100 pixels, and an ignore region beside it.
PERSON_BOX, REGION = [0, 0, 100, 100], [150, 0, 250, 100]


@pytest.mark.parametrize(
    ("boxes", "right", "wrong"),
    [
        ([[0, 0, 100, 100]], 1, 0),
        ([[0, 0, 100, 50]], 0, 1),  # IoU 0.5 is not above it
        ([[0, 0, 100, 51]], 1, 0),
        ([[0, 0, 100, 100], [0, 0, 100, 100]], 1, 1),  # an object is taken once
        ([[160, 0, 190, 40], [160, 0, 190, 40], [170, 50, 240, 90]], 0, 0),  # an ignore region never
        ([[125, 0, 175, 100]], 0, 1),  # half of it lies on the region
        ([[126, 0, 176, 100]], 0, 0),
        ([[-50, 0, 100, 100]], 1, 0),  # clipped to the image first
        ([[-90, -90, -10, -10]], 0, 1),
        ([[50, 50, 50, 50]], 0, 1),
        ([[160, 10, 160.0005, 10.0005]], 0, 1),  # on the region, but too small for the 1e-6 in the denominator
    ],
)
def test_a_detection_is_right_wrong_or_ignored(boxes: list[list[float]], right: int, wrong: int) -> None:
    # A right detection of a second person with a lower score gives the curve a last point, from which they are read.
    other = [0, 120, 60, 190]
    samples = [make_sample(1, [PERSON_BOX, other], [REGION])]
    found: dict[ImageId, Detections] = {1: make_detections([*boxes, other], [*[0.9] * len(boxes), 0.5])}
    values = evaluate(samples, found)
    assert values["Recall"] == (right + 1) / 2
    assert values["JI"] == pytest.approx((right + 1) / (2 + wrong), abs=1e-6)


def test_the_order_of_the_ground_truths_images_breaks_ties() -> None:
    # Of two detections with the same score, one is right and one is wrong: AP depends on which comes first.
    right_first = [make_sample("a", [PERSON_BOX]), make_sample("b", [PERSON_BOX])]
    found: dict[ImageId, Detections] = {
        "b": make_detections([[200, 100, 250, 150], PERSON_BOX], [0.5, 0.25]),
        "a": make_detections([PERSON_BOX], [0.5]),
    }
    assert evaluate(right_first, found)["AP"] == pytest.approx(0.5 * (1 / 2 + 2 / 3) / 2)
    assert evaluate(right_first[::-1], found)["AP"] == pytest.approx(0.5 * (0 + 1 / 2) / 2 + 0.5 * (1 / 2 + 2 / 3) / 2)


def test_scores_without_detections_or_without_objects() -> None:
    nothing = {"AP": 0, "mMR": 1, "Recall": 0, "JI": 0}
    undefined = dict.fromkeys(nothing)
    found: dict[ImageId, Detections] = {1: make_detections([PERSON_BOX], [0.9])}
    assert evaluate([make_sample(1, [PERSON_BOX])], {}) == nothing
    assert evaluate([make_sample(1, [PERSON_BOX])], {1: make_detections([], [])}) == nothing
    assert evaluate([make_sample(1, [[0, 100, 50, 190]], [PERSON_BOX])], found) == nothing  # ignored: no score
    assert evaluate([make_sample(1, [PERSON_BOX])], found) == pytest.approx({**nothing, "mMR": 0, "Recall": 1, "JI": 1})
    speck = [10, 10, 10.0005, 10.0005]  # too small to be found, because of the 1e-6 in the denominator
    assert evaluate([make_sample(1, [speck])], {1: make_detections([speck], [0.9])}) == nothing
    for sample in (make_sample(1, []), make_sample(1, [], [PERSON_BOX])):
        assert evaluate([sample], found) == undefined
    assert evaluate([], {}) == undefined


def test_fp32_detections_are_scored_in_fp64() -> None:
    samples, detections = crowd(seed=3, images=5)
    fp32 = {id: make_detections(d.boxes, d.scores, dtype=torch.float32) for id, d in detections.items()}
    fp64 = {id: make_detections(d.boxes.double(), d.scores.double()) for id, d in fp32.items()}
    assert evaluate(samples, fp32) == evaluate(samples, fp64)


def test_without_the_jaccard_index_the_other_scores_are_the_same() -> None:
    samples, detections = crowd(seed=4, images=5)
    scores = CrowdHumanEvaluator(with_jaccard_index=False).evaluate(samples, detections, PERSON)
    everything = CrowdHumanEvaluator().evaluate(samples, detections, PERSON)
    assert scores.values == {key: everything.values[key] for key in ("AP", "mMR", "Recall")}
    assert scores.headline == "AP"
    assert scores.per_class == {"person": scores.main}


def test_more_than_one_class_is_refused() -> None:
    with pytest.raises(InputError, match=r"scores one class, but the dataset has 2 \(cat, dog\)"):
        CrowdHumanEvaluator().evaluate([], {}, Categories(ids=(1, 2), names=("cat", "dog")))


def test_detections_of_another_dataset_are_refused() -> None:
    with pytest.raises(InputError, match="'7'"):
        CrowdHumanEvaluator().evaluate([make_sample(1, [])], {"7": make_detections([], [])}, PERSON)
