"""Checks the boxes of a dataset for likely mistakes and describes how crowded it is."""

import numpy as np
import torch

from uncrowd.boxes import pairwise_iou
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.problems import Finding, Problems, Rule

# In pixels: the side of one cell of the finest feature map.
TINY = 4.0
# In pixels: COCO's own boxes exceed the image by fractions of a pixel.
EDGE = 1.0
# CrowdHuman counts pairs above this IoU as overlapping.
CROWDED = 0.5

PARTLY_OUTSIDE = Rule(
    kind="box partly outside",
    severity="note",
    message="boxes that reach past the edge of their image by more than a pixel",
    training="training cuts them to the image, unless --augment.no-clip-boxes is given",
)
TINY_BOX = Rule(
    kind="tiny box",
    severity="note",
    message="boxes with a side below 4 pixels",
    training="training keeps them, but they are hard to find unless images are enlarged",
)
SAME_BOX = Rule(
    kind="duplicate box",
    severity="warning",
    message="boxes that repeat another of their class and image exactly",
    training="training keeps both and asks for two detections in one place; remove one",
)
IGNORED = Rule(
    kind="ignored box",
    severity="note",
    message="boxes marked as crowd or to be ignored",
    training="training does not learn them, scores do not count them",
)
WITHOUT_BOXES = Rule(
    kind="image without boxes",
    severity="note",
    message="images without boxes",
    training="training keeps them as background",
)
NOTHING_TO_LEARN = Rule(
    kind="no boxes",
    severity="error",
    message="datasets without any box",
    training="there is nothing to learn from; add annotations",
)
NOTHING_TO_SCORE = Rule(
    kind="no boxes",
    severity="warning",
    message="datasets without any box",
    training="there is nothing to score; add annotations",
)
NO_GROUND_TRUTH = Rule(
    kind="no ground truth",
    severity="note",
    message="images of which nothing but name and size is known",
    training="training leaves them alone; their detections can be written, for a server to score",
)
CLASS_WITHOUT_BOXES = Rule(
    kind="class without boxes",
    severity="warning",
    message="classes without boxes",
    training="training cannot learn them",
)


def check_boxes(dataset: DetectionDataset, problems: Problems) -> None:
    """Adds likely mistakes in boxes, images and classes to `problems`. Boxes that training leaves out do not count."""
    if not dataset.annotated:
        for name in dataset.file_names:
            problems.add(NO_GROUND_TRUTH, str(name))
        return
    images = np.repeat(np.arange(len(dataset)), dataset.counts)
    x1, y1, x2, y2 = dataset.boxes.T
    height, width = dataset.sizes[images].T
    usable = (x2 > x1) & (y2 > y1) & (x2 > 0) & (y2 > 0) & (x1 < width) & (y1 < height)
    masks = {
        PARTLY_OUTSIDE: usable & ((x1 < -EDGE) | (y1 < -EDGE) | (x2 > width + EDGE) | (y2 > height + EDGE)),
        TINY_BOX: usable & (np.minimum(x2 - x1, y2 - y1) < TINY),
        SAME_BOX: _repeats(np.column_stack([images, dataset.labels, dataset.boxes])),
        IGNORED: dataset.ignore,
    }
    for rule, mask in masks.items():
        for row in np.flatnonzero(mask):
            box = ", ".join(f"{number:.6g}" for number in dataset.boxes[row])
            problems.add(rule, f"[{box}] of image {dataset.ids[images[row]]}")

    learnt = usable & ~dataset.ignore
    labels = dataset.labels[learnt]
    if len(labels) == 0:
        problems.add(NOTHING_TO_LEARN if dataset.split == "train" else NOTHING_TO_SCORE, str(dataset.source))
        return
    for index in np.flatnonzero(np.bincount(images[learnt], minlength=len(dataset)) == 0):
        problems.add(WITHOUT_BOXES, str(dataset.file_names[index]))
    if dataset.split == "train":
        for label in np.flatnonzero(np.bincount(labels, minlength=len(dataset.categories)) == 0):
            problems.add(CLASS_WITHOUT_BOXES, dataset.categories.names[label])


def describe_crowding(dataset: DetectionDataset) -> list[Finding]:
    """Returns one note on the number of boxes per image and their overlap; no note for a dataset without boxes.

    The overlap of a box is its largest IoU with another box of its image, of any class.
    """
    counts = np.zeros(len(dataset), dtype=np.int64)
    nearest: list[torch.Tensor] = []
    pairs = 0
    for index in range(len(dataset)):
        rows = slice(dataset.offsets[index], dataset.offsets[index + 1])
        boxes = torch.from_numpy(dataset.boxes[rows][~dataset.ignore[rows]])
        counts[index] = len(boxes)
        if len(boxes):
            overlap = pairwise_iou(boxes, boxes).fill_diagonal_(0)
            nearest.append(overlap.amax(dim=1))
            pairs += int((overlap > CROWDED).sum()) // 2
    if not nearest:
        return []
    fullest = int(counts.argmax())
    message = (
        f"{counts.mean():.3g} boxes per image, {counts[fullest]} at most (in {dataset.file_names[fullest]}); a box "
        f"overlaps its closest neighbour with IoU {torch.cat(nearest).mean():.2f} on average, and there are "
        f"{pairs / len(dataset):.3g} pairs per image above {CROWDED}"
    )
    return [
        Finding(
            kind="crowding",
            severity="note",
            split=dataset.split,
            count=int(counts.sum()),
            examples=[],
            message=message,
            training="a model needs more proposals than the fullest image has boxes",
        )
    ]


def _repeats(rows: np.ndarray) -> np.ndarray:
    """Returns a mask of the rows that equal an earlier row."""
    _, first = np.unique(rows, axis=0, return_index=True)
    repeats = np.ones(len(rows), dtype=bool)
    repeats[first] = False
    return repeats
