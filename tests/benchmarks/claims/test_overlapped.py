"""The measure equals a slow, obvious twin on random boxes, and a made-up case that can be counted by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.claims.overlapped import OverlappedRecall, overlapped_recall

from uncrowd.structures import Categories, Detections, ImageId, Sample

TWO_CLASSES = Categories(ids=(1, 2), names=("person", "dog"))


def sample(id: int, boxes: Sequence[Sequence[float]], labels: Sequence[int], ignore: Sequence[bool]) -> Sample:
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return Sample(
        id=id,
        path=Path(f"{id}.jpg"),
        size=(100, 100),
        boxes=corners,
        labels=np.array(labels, dtype=np.int64),
        ignore=np.array(ignore, dtype=bool),
        areas=(corners[:, 2:] - corners[:, :2]).prod(axis=1),
    )


def detections(boxes: Sequence[Sequence[float]], scores: Sequence[float], labels: Sequence[int]) -> Detections:
    return Detections(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores, dtype=torch.float32),
        labels=torch.tensor(labels, dtype=torch.int64),
        categories=TWO_CLASSES,
    )


# A pair with IoU .6 (columns 0 to 40 and 10 to 50), and an object that overlaps none.
LEFT, RIGHT, ALONE = (0, 0, 40, 10), (10, 0, 50, 10), (80, 0, 90, 10)
# Its IoU is .905 with LEFT and .664 with RIGHT.
LEFT_AGAIN = (2, 0, 42, 10)


def test_a_duplicate_does_not_find_the_neighbour() -> None:
    """COCO's matching would give the duplicate to RIGHT. Ten objects allow one false positive."""
    pair = sample(0, [LEFT, RIGHT, ALONE], [0, 0, 0], [False] * 3)
    others = [sample(id, [ALONE], [0], [False]) for id in range(1, 8)]
    found: dict[ImageId, Detections] = {0: detections([LEFT, LEFT_AGAIN, ALONE], [0.9, 0.8, 0.7], [0, 0, 0])}
    for iou in (0.5, 0.75):
        assert overlapped_recall([pair, *others], found, iou=iou) == OverlappedRecall(
            iou=iou,
            threshold=float(np.float32(0.7)),
            objects=(8, 0, 0, 2, 0),
            found=(1, 0, 0, 1, 0),
            duplicates=(0, 0, 0, 1, 0),
            false_positives=1,
        )


def test_false_positives_are_at_most_a_tenth_of_the_objects() -> None:
    """Of ten objects, the one at .6 comes with a second wrong detection of the same score, and is left out."""
    objects = [(10 * i, 0, 10 * i + 5, 5) for i in range(10)]
    nowhere = (0, 50, 5, 55)
    found = detections(
        [objects[0], nowhere, objects[1], objects[2], nowhere], [0.9, 0.8, 0.7, 0.6, 0.6], [0, 0, 0, 0, 0]
    )
    result = overlapped_recall([sample(0, objects, [0] * 10, [False] * 10)], {0: found}, iou=0.5)
    assert (result.threshold, result.false_positives) == (pytest.approx(0.7), 1)
    assert (result.found, result.recall) == ((2, 0, 0, 0, 0), (0.2, None, None, None, None))


def test_a_detection_of_another_class_is_wrong_and_one_on_ignored_ground_truth_is_not() -> None:
    ten = [(10 * i, 0, 10 * i + 5, 5) for i in range(10)]
    image = sample(0, [*ten, (0, 50, 50, 90)], [0] * 11, [False] * 10 + [True])
    found = detections([ten[0], (10, 60, 20, 70), ten[1]], [0.9, 0.8, 0.7], [1, 0, 0])
    result = overlapped_recall([image], {0: found}, iou=0.5)
    assert (result.false_positives, result.found) == (1, (1, 0, 0, 0, 0))
    assert result.objects == (10, 0, 0, 0, 0)


@pytest.mark.parametrize("found", [{}, {0: detections([], [], [])}])
def test_nothing_found(found: Mapping[ImageId, Detections]) -> None:
    result = overlapped_recall([sample(0, [LEFT, RIGHT], [0, 0], [False] * 2)], found, iou=0.5)
    assert (result.objects, result.found, result.threshold) == ((0, 0, 0, 2, 0), (0,) * 5, None)


def test_no_objects() -> None:
    found: dict[ImageId, Detections] = {0: detections([LEFT], [0.9], [0])}
    result = overlapped_recall([sample(0, [], [], [])], found, iou=0.5)
    assert (result.objects, result.false_positives, result.threshold) == ((0,) * 5, 0, None)


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_slow_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples: list[Sample] = []
    found: dict[ImageId, Detections] = {}
    for id in range(8):
        n = int(rng.integers(0, 12))
        boxes = random_boxes(rng, n)
        samples.append(sample(id, boxes.tolist(), rng.integers(2, size=n).tolist(), (rng.random(n) < 0.15).tolist()))
        near = boxes[rng.integers(n, size=2 * n)] + rng.normal(0, 1.5, (2 * n, 4)) if n else boxes
        everything = np.concatenate([near, random_boxes(rng, int(rng.integers(0, 2)))])
        # Few levels, so that many scores are equal.
        scores = rng.integers(1, 40, size=len(everything)) / 40
        order = np.argsort(-scores, kind="stable")
        labels = rng.integers(2, size=len(everything))
        found[id] = detections(everything[order].tolist(), scores[order].tolist(), labels[order].tolist())
    for iou in (0.5, 0.75):
        assert overlapped_recall(samples, found, iou=iou) == slow_twin(samples, found, iou)


def random_boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    corners = rng.uniform(0, 30, (n, 2))
    return np.concatenate([corners, corners + rng.uniform(5, 20, (n, 2))], axis=1)


def slow_twin(samples: list[Sample], found: Mapping[ImageId, Detections], iou: float) -> OverlappedRecall:
    """Tries every score as the threshold, lowest first, and matches one detection after the other."""
    objects = sum(int((~sample.ignore).sum()) for sample in samples)
    scores = {score for each in found.values() for score in each.scores.tolist()}
    for threshold in [*sorted(scores), float("inf")]:
        result = at_threshold(samples, found, iou, threshold)
        if result.false_positives <= 0.1 * objects:
            return result
    raise AssertionError("without detections there are no false positives")


def at_threshold(
    samples: list[Sample], found: Mapping[ImageId, Detections], iou: float, threshold: float
) -> OverlappedRecall:
    counts = {"objects": [0] * 5, "found": [0] * 5, "duplicates": [0] * 5}
    wrong = 0
    for image in samples:
        boxes = image.boxes.tolist()
        objects = [i for i in range(len(boxes)) if not image.ignore[i]]
        interval = {}
        for i in objects:
            largest = max([0.0, *(iou_of(boxes[i], boxes[j]) for j in objects if j != i)])
            interval[i] = sum(largest > end for end in (0.0, 0.3, 0.5, 0.7))
            counts["objects"][interval[i]] += 1
        taken = set()
        each = found[image.id]
        for box, score, label in zip(each.boxes.tolist(), each.scores.tolist(), each.labels.tolist(), strict=True):
            if score < threshold:
                continue
            same_class = [i for i in range(len(boxes)) if image.labels[i] == label]
            overlaps = {i: iou_of(box, boxes[i]) for i in same_class if i in interval}
            best = max(overlaps, key=lambda i: overlaps[i], default=None)
            if best is not None and overlaps[best] >= iou:
                counts["duplicates" if best in taken else "found"][interval[best]] += 1
                wrong += best in taken
                taken.add(best)
            else:
                wrong += all(common(box, boxes[i]) / area(box) < iou for i in same_class if i not in interval)
    return OverlappedRecall(
        iou=iou,
        threshold=threshold if threshold < float("inf") else None,
        objects=tuple(counts["objects"]),
        found=tuple(counts["found"]),
        duplicates=tuple(counts["duplicates"]),
        false_positives=wrong,
    )


def area(box: list[float]) -> float:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def common(one: list[float], other: list[float]) -> float:
    return area([max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])])


def iou_of(one: list[float], other: list[float]) -> float:
    both = common(one, other)
    return both / (area(one) + area(other) - both)
