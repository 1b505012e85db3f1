"""What the rest of the package asks of a format of annotation files.

Each format is one value of this class, at the end of its own module. `recognise.py` lists them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.convention import check_convention
from uncrowd.data.problems import Problems
from uncrowd.structures import ScoreProtocol

# Which box of a person: the full body, including what is hidden; the visible part; the head.
BoxKind = Literal["fbox", "vbox", "hbox"]


@runtime_checkable
class Scan(Protocol):
    """Reads the annotation file of one split. The images are not decoded."""

    def __call__(
        self, annotations: Path, *, split: str, box: BoxKind, sizes: Mapping[str, tuple[int, int]] | None
    ) -> tuple[DetectionDataset, Problems]:
        """Returns the dataset and what is wrong with the records, of which the bad ones are left out.

        box: one of the format's `boxes`. sizes: image id -> (height, width), for formats whose files may leave the
        size of an image out. Raises InputError where the file as a whole cannot be used.
        """
        ...


@runtime_checkable
class ScanOfOneBox(Protocol):
    """A `Scan` of files that hold one box of each object."""

    def __call__(
        self, annotations: Path, split: str, *, sizes: Mapping[str, tuple[int, int]] | None
    ) -> tuple[DetectionDataset, Problems]:
        """See `Scan`."""
        ...


def whatever_box(scan: ScanOfOneBox) -> Scan:
    """Returns the `scan` of a format in which an object has one box, so that the kind does not matter."""

    def scan_split(
        annotations: Path, *, split: str, box: BoxKind, sizes: Mapping[str, tuple[int, int]] | None
    ) -> tuple[DetectionDataset, Problems]:
        return scan(annotations, split, sizes=sizes)

    return scan_split


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of annotation files."""

    # What messages call it.
    name: str
    # How detections on such data are scored unless the user says otherwise.
    protocol: ScoreProtocol
    # The kinds of boxes that its files hold. A format with one box an object offers only the first kind.
    boxes: tuple[BoxKind, ...] = ("fbox",)
    # Whether a file that the user gave by name is of this format.
    recognises: Callable[[Path], bool]
    # Finds the annotation file of each split, given a folder or one file of this format: {"train": Path(...), ...}.
    # Empty for a folder that has no such file.
    find: Callable[[Path], dict[str, Path]]
    # Reads the annotation file of one split.
    scan: Scan
    # Notes what only all boxes of a split show together: that they are written in another convention.
    judge: Callable[[DetectionDataset, Problems], None] = check_convention
    # What is said of a folder that is named as a split for which `find` has no file.
    unlisted: str = "has no annotation file in it"
