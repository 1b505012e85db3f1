"""Checks the boxes of a dataset for likely mistakes."""

import numpy as np
from jaxtyping import Bool

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.convention import EDGE, as_text
from uncrowd.data.problems import Names, Problems, Rule

# In pixels of the image: the side of one cell of the finest feature map, for an image that is not resized.
TINY = 4.0

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
NO_GROUND_TRUTH = Rule(
    kind="no ground truth",
    severity="note",
    message="images of which nothing but name and size is known",
    training="training does not use them; their detections can be written to a file that an evaluation server scores",
)
CLASS_WITHOUT_BOXES = Rule(
    kind="class without boxes",
    severity="warning",
    message="classes without boxes",
    training="training cannot learn them",
)

Mask = Bool[np.ndarray, " m"]


def learnable(dataset: DetectionDataset) -> Mask:
    """Returns which boxes training learns from: those that lie in their image, if in part, and are not ignored."""
    return _usable(dataset) & ~dataset.ignore


def check_boxes(dataset: DetectionDataset, problems: Problems) -> None:
    """Adds likely mistakes in boxes, images and classes to `problems`. Boxes that training leaves out do not count."""
    if not dataset.annotated:
        problems.add_all(NO_GROUND_TRUTH, Names(range(len(dataset)), lambda index: str(dataset.file_names[index])))
        return
    images = _images(dataset)
    x1, y1, x2, y2 = dataset.boxes.T
    height, width = dataset.sizes[images].T
    usable = _usable(dataset)
    masks = {
        PARTLY_OUTSIDE: usable & ((x1 < -EDGE) | (y1 < -EDGE) | (x2 > width + EDGE) | (y2 > height + EDGE)),
        TINY_BOX: usable & (np.minimum(x2 - x1, y2 - y1) < TINY),
        SAME_BOX: _repeats(np.column_stack([images, dataset.labels, dataset.boxes])),
        IGNORED: dataset.ignore,
    }

    def name(row: int) -> str:
        return f"{as_text(dataset.boxes[row])} of image {dataset.ids[images[row]]}"

    for rule, mask in masks.items():
        problems.add_all(rule, Names(np.flatnonzero(mask), name))
    learnt = learnable(dataset)
    labels = dataset.labels[learnt]
    if len(labels) == 0:
        return  # a finding of its own, with which training refuses the dataset
    empty = np.flatnonzero(np.bincount(images[learnt], minlength=len(dataset)) == 0)
    problems.add_all(WITHOUT_BOXES, Names(empty, lambda index: str(dataset.file_names[index])))
    if dataset.split == "train":
        for label in np.flatnonzero(np.bincount(labels, minlength=len(dataset.categories)) == 0):
            problems.add(CLASS_WITHOUT_BOXES, dataset.categories.names[label])


def _images(dataset: DetectionDataset) -> np.ndarray:
    """The index of the image of each box."""
    return np.repeat(np.arange(len(dataset)), dataset.counts)


def _usable(dataset: DetectionDataset) -> Mask:
    x1, y1, x2, y2 = dataset.boxes.T
    height, width = dataset.sizes[_images(dataset)].T
    return (x2 > x1) & (y2 > y1) & (x2 > 0) & (y2 > 0) & (x1 < width) & (y1 < height)


def _repeats(rows: np.ndarray) -> Mask:
    """Returns a mask of the rows that equal an earlier row."""
    _, first = np.unique(rows, axis=0, return_index=True)
    repeats = np.ones(len(rows), dtype=bool)
    repeats[first] = False
    return repeats
