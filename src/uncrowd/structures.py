"""The data that the packages exchange. It has no behaviour except conversion to the formats of other libraries.

Coordinate frames: *image* pixels are those of the file as a person sees it, after its EXIF orientation is resolved;
*network* pixels are those of the model's input tensor, after resizing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from uncrowd.boxes import xyxy_to_xywh
from uncrowd.devices import send
from uncrowd.errors import InputError
from uncrowd.extras import extras_of
from uncrowd.thresholds import Threshold, of_each_class

if TYPE_CHECKING:
    import pandas
    import supervision

ImageId = int | str

# Whose protocol scores the detections: COCO's, or CrowdHuman's, which scores a single class.
ScoreProtocol = Literal["coco", "crowdhuman"]


# The outline of an object: polygons of (x, y) in image pixels, whose union it is, or a mask of the whole image as the
# text of COCO's compressed run lengths.
Outline = tuple[Float[np.ndarray, "_ 2"], ...] | str


@dataclass(frozen=True, kw_only=True)
class Categories:
    """The classes of a dataset: label `i` in the code is `ids[i]` in the user's files and is called `names[i]`."""

    ids: tuple[int, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises InputError unless there are as many ids as names."""
        if len(self.ids) != len(self.names):
            raise InputError(f"Classes have {len(self.ids)} ids and {len(self.names)} names; give each one of both.")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def unique_names(self) -> list[str]:
        """The names of the classes; a name that several classes share is followed by the id of its class."""
        return [
            name if self.names.count(name) == 1 else f"{name} ({id})"
            for id, name in zip(self.ids, self.names, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image of a dataset and its ground truth, in image pixels. `size` is (height, width).

    outlines: one for each box, None where it has none; empty where no box of the dataset has one.
    """

    id: ImageId
    path: Path
    size: tuple[int, int]
    boxes: Float[np.ndarray, "n 4"]
    labels: Int64[np.ndarray, " n"]
    ignore: Bool[np.ndarray, " n"]
    areas: Float[np.ndarray, " n"]
    outlines: tuple[Outline | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Target:
    """The ground truth of one image for the loss, in network pixels. `size` is (height, width) before padding."""

    boxes: Float[Tensor, "n 4"]
    labels: Int64[Tensor, " n"]
    ignored: Float[Tensor, "m 4"]
    size: tuple[int, int]

    def to(self, device: torch.device) -> "Target":
        """Returns a copy on `device`, which `send` makes."""
        boxes, labels, ignored = (send(t, device) for t in (self.boxes, self.labels, self.ignored))
        return Target(boxes=boxes, labels=labels, ignored=ignored, size=self.size)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Images padded to one size (at the bottom and right, with 0), their targets and their origin.

    images: RGB, 0-255. sizes: (height, width) of each image before padding, in network pixels. image_sizes: (height,
    width) of the file of each image. skipped: a sentence for each image that could not be read, with its file and the
    reason; in training other images take their places, at inference they are left out.
    """

    images: Shaped[Tensor, "b 3 h w"]
    sizes: Int64[Tensor, "b 2"]
    targets: list[Target]
    ids: list[ImageId]
    image_sizes: list[tuple[int, int]]
    skipped: list[str]


class StageOutput(NamedTuple):
    """What one stage predicts, in network pixels. It is a NamedTuple because `torch.export` refuses dataclasses."""

    logits: Float[Tensor, "b n c"]
    boxes: Float[Tensor, "b n 4"]
    queries: Float[Tensor, "b n d"]


class Decoded(NamedTuple):
    """The last stage's predictions as ranked detections, best first, in network pixels, not clipped."""

    boxes: Float[Tensor, "b k 4"]
    scores: Float[Tensor, "b k"]
    labels: Int64[Tensor, "b k"]


@dataclass(frozen=True, kw_only=True)
class Detections:
    """The detections of one image, best first, on the CPU, in image pixels.

    track_ids: in a frame of a video, the number of the track that each belongs to, from 1; otherwise None.
    """

    boxes: Float[Tensor, "k 4"]
    scores: Float[Tensor, " k"]
    labels: Int64[Tensor, " k"]
    categories: Categories
    track_ids: Int64[Tensor, " k"] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def names(self) -> list[str]:
        """The class name of each detection."""
        return [self.categories.names[label] for label in self.labels.tolist()]

    @property
    def captions(self) -> list[str]:
        """Class name and score of each detection, as drawn beside its box."""
        return [f"{name} {score:.2f}" for name, score in zip(self.names, self.scores.tolist(), strict=True)]

    @property
    def counts(self) -> dict[str, int]:
        """The number of detections of each class, by its name; 0 for a class without any."""
        numbers = torch.bincount(self.labels, minlength=len(self.categories)).tolist()
        return dict(zip(self.categories.unique_names, numbers, strict=True))

    def __getitem__(self, which: int | np.integer | slice | Sequence[int] | np.ndarray | Tensor) -> "Detections":
        """Returns the detection at an index, or those of a slice, of an array of indices or of a mask of k booleans.

        A single one comes as `Detections` of length 1. Raises IndexError for an index that does not exist.
        """
        index = which if isinstance(which, slice) else np.atleast_1d(which)
        if isinstance(index, np.ndarray) and not index.size:
            index = index.astype(np.int64)  # an empty list has no type of its own
        rows = torch.from_numpy(np.arange(len(self))[index].copy())  # torch has no slices that go backwards
        return Detections(
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            labels=self.labels[rows],
            categories=self.categories,
            track_ids=None if self.track_ids is None else self.track_ids[rows],
        )

    def __iter__(self) -> Iterator["Detections"]:
        """Yields the detections one by one, each as `Detections` of length 1."""
        return (self[index] for index in range(len(self)))

    def above(self, threshold: Threshold) -> "Detections":
        """Returns the detections with a score of at least `threshold`, a number or a number for each class name.

        Raises InputError for a threshold outside 0 to 1, and for names that are not exactly those of the classes.
        """
        least = torch.tensor(of_each_class(threshold, self.categories.names), dtype=self.scores.dtype)
        return self[self.scores >= least[self.labels]]

    def to_coco(self, image_id: ImageId) -> list[dict[str, Any]]:
        """Returns records of a COCO results file: xywh boxes, the dataset's own category ids."""
        return [
            {"image_id": image_id, "category_id": self.categories.ids[label], "bbox": box, "score": score}
            for box, score, label in zip(
                xyxy_to_xywh(self.boxes).tolist(), self.scores.tolist(), self.labels.tolist(), strict=True
            )
        ]

    def to_dataframe(self) -> "pandas.DataFrame":
        """Converts to a table with the columns class, category_id, score, x1, y1, x2 and y2, a row for each detection.

        In a frame of a video, track_id is the first column. Raises InputError where `uncrowd[pandas]` is not installed.
        """
        with extras_of("Detections.to_dataframe"):
            import pandas

        columns = {
            "class": self.names,
            "category_id": [self.categories.ids[label] for label in self.labels.tolist()],
            "score": self.scores.numpy(),
        }
        tracks = {} if self.track_ids is None else {"track_id": self.track_ids.numpy()}
        return pandas.DataFrame(
            tracks | columns | dict(zip(("x1", "y1", "x2", "y2"), self.boxes.numpy().T, strict=True))
        )

    def to_supervision(self) -> "supervision.Detections":
        """Converts to `supervision.Detections`. Raises InputError where `uncrowd[supervision]` is not installed."""
        with extras_of("Detections.to_supervision"):
            import supervision

        return supervision.Detections(
            xyxy=self.boxes.numpy(),
            confidence=self.scores.numpy(),
            class_id=self.labels.numpy(),
            tracker_id=None if self.track_ids is None else self.track_ids.numpy(),
            data={"class_name": np.array(self.names)},
        )
