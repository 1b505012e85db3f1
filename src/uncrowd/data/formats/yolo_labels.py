"""YOLO's label files: a line for each object with the number of its class and its box or polygon, in shares.

`class cx cy width height`, in files of detections with a score after it, or `class x1 y1 x2 y2 x3 y3 ...`, where x is a
share of the width of the image as displayed after EXIF, and y of its height.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from reprlib import repr as short

import numpy as np
from jaxtyping import Bool

from uncrowd.data.dataset import DetectionDataset, PackedBoxes, pack_boxes
from uncrowd.data.formats.convention import EDGE, EXPLAINS, FEWEST
from uncrowd.data.formats.files import decoded
from uncrowd.data.formats.records import Box, counts_in_scores, judge_box
from uncrowd.data.formats.values import as_whole
from uncrowd.data.images.listing import Listings, fold
from uncrowd.data.problems import Names, Problems, Rule

NO_BOX = Rule(
    kind="no box",
    severity="warning",
    message="lines that are neither a class and four numbers nor a class and a polygon",
    training="training leaves them out",
    skips=True,
)
SCORED = Rule(
    kind="box with a score",
    severity="note",
    message="lines with a score after the box, as detections have it",
    training="the scores are not used",
)
UNKNOWN_CLASS = Rule(
    kind="unknown class id",
    severity="error",
    message="lines whose class is not the number of one of the names",
    training="add the name or remove the lines",
)
UNREADABLE = Rule(
    kind="unreadable label file",
    severity="error",
    message="label files that cannot be read",
    training="check their permissions",
)
IN_PIXELS = Rule(
    kind="boxes in pixels",
    severity="error",
    message="boxes that are not in shares of the image",
    training="divide x and width by the width of the image, y and height by its height",
)
SOME_IN_PIXELS = Rule(
    kind="boxes that may be in pixels",
    severity="warning",
    message="boxes more than twice as wide or as high as their image, which may be in pixels",
    training="they are read as shares of the image; if they are in pixels, divide them by its width and height",
)
CORNERS = Rule(
    kind="boxes as corners",
    severity="warning",
    message="boxes that leave their images as [centre x, centre y, width, height] and would fit as [x1, y1, x2, y2]",
    training="they are read as centre, width and height; if they are corners, write centre, width and height for them",
)
TOP_LEFT = Rule(
    kind="boxes as corner and sides",
    severity="warning",
    message="boxes that leave their images as [centre x, centre y, width, height] and would fit as [x, y, width, "
    "height] from the top left corner",
    training="they are read as centre, width and height; if x and y are the corner, add half of width and height",
)

# A box and its score.
SCORED_BOX = 5


def label_files(images: Sequence[str], listings: Listings) -> list[str | None]:
    """Returns the label file of each image: the last images/ in its path becomes labels/; else that beside the image.

    None where there is none. Case does not matter.
    """
    return [_label_file(image, listings) for image in images]


def labels_without_image(images: Sequence[str], listings: Listings) -> list[str]:
    """Returns the label files that belong to no image, in the folders of labels/ that these images have."""
    found = []
    for folder in dict.fromkeys(os.path.dirname(image) for image in images):
        labels = _labels_of(folder, listings)
        if labels is None:
            continue
        stems = listings.of(folder).by_stem
        for name in sorted(listings.of(labels).files):
            stem, suffix = os.path.splitext(fold(name))
            if suffix == ".txt" and stem != "classes" and stem not in stems:
                found.append(os.path.join(labels, name))
    return found


def _label_file(image: str, listings: Listings) -> str | None:
    folder, name = os.path.split(image)
    label = (f"{os.path.splitext(name)[0]}.txt",)
    beside = _labels_of(folder, listings)
    found = (listings.file(place, label) for place in (beside, folder) if place is not None)
    return next((path for path in found if path is not None and path.lower().endswith(".txt")), None)


def _labels_of(folder: str, listings: Listings) -> str | None:
    """Returns the folder of labels/ that belongs to a folder of images/, or None."""
    parts = folder.split(os.sep)
    for last in reversed(range(len(parts))):
        if fold(parts[last]) == "images":
            return listings.descend(os.sep.join(parts[:last]) or os.curdir, ("labels", *parts[last + 1 :]))
    return None


def pack_labels(
    files: Sequence[str | None],
    sizes: Sequence[tuple[int, int]],
    labels: dict[int, int],
    problems: Problems,
    *,
    keypoints: bool,
) -> PackedBoxes:
    """Returns the boxes that can be used as the columns that `pack_boxes` makes of them.

    files: the label file of each image, or None. sizes: (height, width) of each image. labels: the label of each class
    number. keypoints: what follows a box is no polygon but key points.
    """
    of_image: list[int] = []
    good: list[tuple[Box, int, bool, float]] = []
    with ThreadPoolExecutor() as pool:  # as for the headers of images
        texts = pool.map(_text, files)
        for row, (file, text, size) in enumerate(zip(files, texts, sizes, strict=True)):
            if isinstance(text, OSError):
                problems.add(UNREADABLE, f"{file}: {text.strerror}")
                continue
            for number, line in enumerate(text.splitlines(), start=1):
                fields = line.split()
                if not fields:
                    continue
                where = f"{file}, line {number}"
                box = _box(fields[1:5] if keypoints else fields[1:], size)
                label = labels.get(whole) if (whole := as_whole(fields[0])) is not None else None
                rule = NO_BOX if box is None else UNKNOWN_CLASS if label is None else judge_box(box, size)
                for broken in (rule, SCORED if box is not None and len(fields) == 1 + SCORED_BOX else None):
                    if broken is not None:
                        problems.add(broken, f"{where}: {short(line)}")
                if box is not None and label is not None and counts_in_scores(box):
                    of_image.append(row)
                    good.append((box, label, False, (box[2] - box[0]) * (box[3] - box[1])))
    return pack_boxes(good, of_image, len(files))


def _text(file: str | None) -> str | OSError:
    try:
        return "" if file is None else decoded(Path(file).read_bytes())
    except OSError as error:
        return error


def _box(fields: Sequence[str], size: tuple[int, int]) -> Box | None:
    """The box in pixels, or None where the fields are neither a box nor a polygon of three points or more."""
    height, width = size
    with suppress(ValueError):
        numbers = list(map(float, fields))
        if len(numbers) in (4, SCORED_BOX):
            x, y, w, h = numbers[:4]
            return (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
        if len(numbers) >= 6 and len(numbers) % 2 == 0:
            xs, ys = numbers[::2], numbers[1::2]
            if any(number != number for number in numbers):  # min and max pass NaN over
                xs = ys = [float("nan")]
            return min(xs) * width, min(ys) * height, max(xs) * width, max(ys) * height
    return None


def judge_shares(dataset: DetectionDataset, problems: Problems) -> None:
    """Adds to `problems` if the boxes seem to be pixels, corners, or a corner and sides.

    The thresholds are those of `check_convention`.
    """
    if len(dataset.boxes) == 0:
        return
    images = np.repeat(np.arange(len(dataset)), dataset.counts)
    height, width = dataset.sizes[images].T
    scale = np.stack([width, height, width, height], axis=1)
    shares = dataset.boxes / scale
    x, y = (shares[:, :2] + shares[:, 2:]).T / 2
    w, h = (shares[:, 2:] - shares[:, :2]).T

    def add(rule: Rule, mask: Bool[np.ndarray, " m"]) -> None:
        def name(row: int) -> str:
            numbers = ", ".join(f"{number:.6g}" for number in (x[row], y[row], w[row], h[row]))
            return f"[{numbers}] of image {dataset.ids[images[row]]}"

        problems.add_all(rule, Names(np.flatnonzero(mask), name))

    huge = (w > 2) | (h > 2)
    if huge.mean() > 0.5:
        add(IN_PIXELS, huge)
        return
    if huge.any():
        add(SOME_IN_PIXELS, huge)
    x1, y1, x2, y2 = dataset.boxes.T
    leaving = (x1 < -EDGE) | (y1 < -EDGE) | (x2 > width + EDGE) | (y2 > height + EDGE)
    for rule, fitting in (
        (CORNERS, (w > x) & (h > y) & (w <= 1) & (h <= 1)),
        (TOP_LEFT, (x + w <= 1 + 1e-6) & (y + h <= 1 + 1e-6)),
    ):
        if leaving.sum() >= FEWEST and (~fitting).sum() * EXPLAINS <= leaving.sum():
            add(rule, leaving)
            return
