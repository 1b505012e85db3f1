"""A dataset in memory, packed into arrays so that 118,000 images are cheap to hold, to pickle and to fork.

Every loader process would copy lists of Python objects page by page, because reading them changes reference counts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from uncrowd.data.packed_outlines import Outlines
from uncrowd.structures import Categories, ImageId, Sample, ScoreProtocol


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectionDataset:
    """A sequence of `Sample`s: image files, which are not opened, and their boxes in image pixels.

    ids: int64, or strings where the format names images. file_names: relative to `folder`. sizes: (height, width).
    The boxes of image `i` are the rows `offsets[i]:offsets[i + 1]`; they are float64, so that the numbers of the
    user's file come back out as they went in. outlines: those of the same rows, None where no box has one. skipped:
    the reason why records were left out -> their number. annotated: False for a test split without ground truth; it
    has no boxes, although its images may show objects, and can be used neither for training nor for scoring. protocol:
    how detections on such data are scored unless the user says otherwise.
    """

    source: Path
    split: str
    categories: Categories
    folder: Path
    ids: Shaped[np.ndarray, " n"]
    file_names: Shaped[np.ndarray, " n"]
    sizes: Int64[np.ndarray, "n 2"]
    offsets: Int64[np.ndarray, " n+1"]
    boxes: Float64[np.ndarray, "m 4"]
    labels: Int64[np.ndarray, " m"]
    ignore: Bool[np.ndarray, " m"]
    areas: Float64[np.ndarray, " m"]
    outlines: Outlines | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    annotated: bool = True
    protocol: ScoreProtocol = "coco"

    @classmethod
    def from_samples(
        cls,
        samples: Iterable[Sample],
        *,
        source: Path,
        split: str,
        categories: Categories,
        folder: Path,
        skipped: Mapping[str, int] | None = None,
    ) -> "DetectionDataset":
        """Packs samples. Paths inside `folder` are stored relative to it, all others as absolute paths."""
        samples = list(samples)

        def joined(arrays: list[np.ndarray], empty: np.ndarray) -> np.ndarray:
            return np.concatenate([empty, *arrays]).astype(empty.dtype)

        names = [s.path.relative_to(folder) if s.path.is_relative_to(folder) else s.path.absolute() for s in samples]
        return cls(
            source=source,
            split=split,
            categories=categories,
            folder=folder,
            ids=pack_ids([s.id for s in samples]),
            file_names=np.array([str(name) for name in names], dtype=np.str_),
            sizes=np.array([s.size for s in samples], dtype=np.int64).reshape(-1, 2),
            offsets=np.cumsum([0, *(len(s.boxes) for s in samples)], dtype=np.int64),
            boxes=joined([s.boxes for s in samples], np.zeros((0, 4))),
            labels=joined([s.labels for s in samples], np.zeros(0, dtype=np.int64)),
            ignore=joined([s.ignore for s in samples], np.zeros(0, dtype=bool)),
            areas=joined([s.areas for s in samples], np.zeros(0)),
            outlines=Outlines.pack(outline for s in samples for outline in s.outlines or [None] * len(s.boxes)),
            skipped=skipped or {},
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sample:
        """Returns image `index` with copies of its arrays, so that writing to them does not change the dataset."""
        index = range(len(self))[index]
        rows = slice(self.offsets[index], self.offsets[index + 1])
        return Sample(
            id=self.ids[index].item(),
            path=self.path(index),
            size=(int(self.sizes[index, 0]), int(self.sizes[index, 1])),
            boxes=self.boxes[rows].copy(),
            labels=self.labels[rows].copy(),
            ignore=self.ignore[rows].copy(),
            areas=self.areas[rows].copy(),
            outlines=() if self.outlines is None else tuple(self.outlines[rows]),
        )

    def path(self, index: int) -> Path:
        """Returns the path of the file of image `index`."""
        return self.folder / str(self.file_names[index])

    @property
    def counts(self) -> Int64[np.ndarray, " n"]:
        """The number of boxes of each image, ignored ones included."""
        return np.diff(self.offsets)

    def subset(self, indices: Sequence[int] | Int64[np.ndarray, " k"], split: str | None = None) -> "DetectionDataset":
        """Returns the images at `indices`, in that order. `skipped` counts the whole dataset, so it is empty here."""
        indices = np.asarray(indices, dtype=np.int64)
        counts = self.counts[indices]
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
        rows = np.repeat(self.offsets[:-1][indices] - offsets[:-1], counts) + np.arange(offsets[-1])
        return replace(
            self,
            split=self.split if split is None else split,
            ids=self.ids[indices],
            file_names=self.file_names[indices],
            sizes=self.sizes[indices],
            offsets=offsets,
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            ignore=self.ignore[rows],
            areas=self.areas[rows],
            outlines=None if self.outlines is None else self.outlines.take(rows),
            skipped={},
        )


class PackedBoxes(TypedDict):
    """The fields of a `DetectionDataset` that hold boxes."""

    offsets: Int64[np.ndarray, " n+1"]
    boxes: Float64[np.ndarray, "m 4"]
    labels: Int64[np.ndarray, " m"]
    ignore: Bool[np.ndarray, " m"]
    areas: Float64[np.ndarray, " m"]
    outlines: Outlines | None


def pack_boxes(
    boxes: Sequence[tuple[tuple[float, float, float, float], int, bool, float]],
    of_image: Sequence[int],
    images: int,
    outlines: Outlines | None = None,
) -> PackedBoxes:
    """Returns the box fields of `DetectionDataset`, sorted by image; the boxes of an image keep their order.

    boxes: (xyxy corners, label, ignore, area) of each box. of_image: the index of the image of each box. outlines: of
    each box, if there are any.
    """
    order = np.argsort(np.array(of_image, dtype=np.int64), kind="stable")
    counts = np.bincount(np.array(of_image, dtype=np.int64), minlength=images)
    corners, labels, ignore, areas = zip(*boxes, strict=True) if boxes else ((), (), (), ())
    return {
        "offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "boxes": np.array(corners, dtype=np.float64).reshape(-1, 4)[order],
        "labels": np.array(labels, dtype=np.int64)[order],
        "ignore": np.array(ignore, dtype=bool)[order],
        "areas": np.array(areas, dtype=np.float64)[order],
        "outlines": None if outlines is None else outlines.take(order),
    }


def pack_ids(ids: Sequence[ImageId]) -> Shaped[np.ndarray, " n"]:
    """Packs ids into one array: int64 if all are numbers, strings if all are strings. A mixture is not allowed."""
    kinds = {type(id) for id in ids}
    assert kinds <= {int} or kinds <= {str}, f"image ids of several types: {kinds}"
    return np.array(ids, dtype=np.str_ if kinds == {str} else np.int64)
