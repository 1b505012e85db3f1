"""Finds boxes that are written in another convention than COCO's [x, y, width, height] in pixels.

No single box shows its convention, but a whole file does. Boxes that are read in a wrong convention leave their images.
So do rightly read boxes of objects that are partly hidden by the edge, such as CrowdHuman's full bodies. But scenes
have no preferred side: those leave at the left as often as at the right, and what is misread leaves at the right only.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int64

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.problems import Names, Problems, Rule

FRACTIONS = Rule(
    kind="boxes as fractions",
    severity="error",
    message="boxes that all lie within 0..1, as fractions of the image do",
    training="boxes are in pixels: multiply them by the width and height of their images",
)
CORNERS = Rule(
    kind="boxes as corners",
    severity="warning",
    message="boxes that leave their images as [x, y, width, height] and would fit as corners [x1, y1, x2, y2]",
    training="they are read as [x, y, width, height]; if they are corners, write x2 - x1 for x2 and y2 - y1 for y2",
)
AREAS_OF_CORNERS = Rule(
    kind="boxes as corners",
    severity="warning",
    message="boxes whose area is that of corners [x1, y1, x2, y2], not of [x, y, width, height]",
    training=CORNERS.training,
)
CENTRES = Rule(
    kind="boxes as centres",
    severity="warning",
    message="boxes that leave their images as [x, y, width, height] and would fit if x and y were their centres",
    training="they are read as [x, y, width, height]; if x and y are centres, subtract half of width and height",
)

# In pixels: annotations exceed their images by rounding.
EDGE = 1.0
# A convention explains the boxes that leave at the right if these are at least so many, ...
FEWEST = 5
# ... and if at most one box for each so many of them does not fit the image in that convention.
EXPLAINS = 20
# Areas are those of corners if so many contradict width times height, and if most boxes have the area of corners.
FEWEST_AREAS = 3
MOST = 0.9

Boxes = Float64[np.ndarray, "m 4"]
Mask = Bool[np.ndarray, " m"]


def check_convention(dataset: DetectionDataset, problems: Problems) -> None:
    """Adds to `problems` if the boxes of a dataset seem to be written in another convention."""
    images = np.repeat(np.arange(len(dataset)), dataset.counts)
    judge_convention(dataset.boxes, images, dataset, problems, dataset.areas)


def judge_convention(
    boxes: Boxes,
    images: Int64[np.ndarray, " m"],
    dataset: DetectionDataset,
    problems: Problems,
    areas: Float64[np.ndarray, " m"] | None = None,
) -> None:
    """Judges any boxes on the images of a dataset as `check_convention` judges those of the ground truth.

    boxes: xyxy, as read from [x, y, width, height]. images: the index of the image of each box.
    """
    boxes_xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    found = other_convention(boxes_xywh, dataset.sizes[images], areas)
    if found is not None:
        rule, mask = found

        def name(row: int) -> str:
            return f"{as_text(boxes_xywh[row])} of image {dataset.ids[images[row]]}"

        problems.add_all(rule, Names(np.flatnonzero(mask), name))


def other_convention(
    boxes_xywh: Boxes, sizes: Int64[np.ndarray, "m 2"], areas: Float64[np.ndarray, " m"] | None = None
) -> tuple[Rule, Mask] | None:
    """Returns the rule that the boxes of a file break together, and the boxes that show it.

    sizes: (height, width) of the image of each box. areas: of each object, or of its box where the file has none.
    """
    if len(boxes_xywh) == 0:
        return None
    x, y, width, height = boxes_xywh.T
    image_height, image_width = sizes.T
    if are_fractions(np.stack([x, y, x + width, y + height], axis=1)):
        return FRACTIONS, np.ones(len(boxes_xywh), dtype=bool)
    if areas is not None:
        of_corners = (width > x) & (height > y) & _same_area(areas, (width - x) * (height - y))
        contradicted = of_corners & ~_same_area(areas, width * height)
        if contradicted.sum() >= FEWEST_AREAS and of_corners.mean() >= MOST:
            return AREAS_OF_CORNERS, contradicted

    def fits(left: np.ndarray, top: np.ndarray, right: np.ndarray, bottom: np.ndarray) -> Mask:
        return (left >= -EDGE) & (top >= -EDGE) & (right <= image_width + EDGE) & (bottom <= image_height + EDGE)

    at_right = int((x + width > image_width + EDGE).sum())
    for rule, fitting in (
        (CORNERS, (width > x) & (height > y) & fits(x, y, width, height)),
        (CENTRES, fits(x - width / 2, y - height / 2, x + width / 2, y + height / 2)),
    ):
        if at_right >= FEWEST and (~fitting).sum() * EXPLAINS <= at_right:
            return rule, ~fits(x, y, x + width, y + height)
    return None


def are_fractions(boxes: Boxes) -> bool:
    """Whether boxes (x1, y1, x2, y2) are fractions of their images."""
    # Those of an object that is partly hidden by the edge are a little outside 0..1.
    return len(boxes) > 0 and bool(np.abs(boxes).max() <= 1.5 and (boxes != boxes.round()).any())


def _same_area(ours: Float64[np.ndarray, " m"], theirs: Float64[np.ndarray, " m"]) -> Mask:
    """Whether areas are the same but for rounding and for the pixel that some count more."""
    return np.isclose(ours, theirs, rtol=0.05)


def as_text(box: Float64[np.ndarray, " 4"]) -> str:
    """Returns the numbers of a box in brackets."""
    return f"[{', '.join(f'{number:.6g}' for number in box)}]"
