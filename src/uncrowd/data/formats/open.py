"""Opening data: a folder or an annotation file becomes one dataset for each split."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.format import BoxKind, Format
from uncrowd.data.formats.passed_over import nothing_to_read, passed_over
from uncrowd.data.formats.recognise import FORMATS, format_of, readable
from uncrowd.data.images.rules import IMAGES_NOT_FOUND
from uncrowd.data.problems import Problems
from uncrowd.errors import InputError
from uncrowd.words import counted, first, one_line


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The files of a dataset before they are read: their format and the annotation file of each split.

    root: the folder or the annotation file that the user gave. not_read: sentences about what seems to be another split
    but cannot be read.
    """

    format: Format
    root: Path
    annotations: dict[str, Path]
    not_read: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The datasets in one folder or of one annotation file, `root`. A split that does not exist is None.

    not_read: as in `Layout`.
    """

    format: Format
    root: Path
    not_read: tuple[str, ...] = ()
    train: DetectionDataset | None = None
    val: DetectionDataset | None = None
    test: DetectionDataset | None = None

    @property
    def present(self) -> list[DetectionDataset]:
        """The splits that exist, in the order train, val, test."""
        return [dataset for dataset in (self.train, self.val, self.test) if dataset is not None]

    def describe(self) -> str:
        """Returns the outline, with a line below each split for everything that its reader left out."""
        return "\n".join(map(one_line, self._lines(skipped=True)))

    def outline(self) -> str:
        """Returns one line with the format, images, boxes and classes of all splits, then a line for each split."""
        return "\n".join(map(one_line, self._lines(skipped=False)))

    def _lines(self, *, skipped: bool) -> list[str]:
        if not self.present:
            return [f"{self.format.name} in {self.root}: nothing that can be read"]
        names = self.present[0].categories.names
        images, boxes = sum(map(len, self.present)), sum(len(dataset.boxes) for dataset in self.present)
        classes = f"{counted(len(names), 'class')} ({first(names, 10)})"
        lines = [f"{self.format.name} in {self.root}: {_content(images, boxes)}, {classes}"]
        for dataset in self.present:
            ignored = int(dataset.ignore.sum())
            crowd = f", {ignored} of them ignored" if ignored else ""
            classes = counted(len(np.unique(dataset.labels)), "class")
            counts = f"{_content(len(dataset), len(dataset.boxes))} of {classes}{crowd}"
            if not dataset.annotated:
                counts = f"{counted(len(dataset), 'image')} without ground truth"
            lines.append(f"  {dataset.split}: {counts} ({dataset.source.name})")
            if skipped:
                lines += [f"    training leaves out: {reason}: {count}" for reason, count in dataset.skipped.items()]
        return lines + [f"  not read: {sentence}" for sentence in self.not_read]


def open_dataset(path: Path, box: BoxKind = "fbox") -> Splits:
    """Opens all splits of a folder, or a single annotation file.

    A single file is the training split, or the test split if it only lists images. The images of a test split need
    not exist. box: which boxes to read from CrowdHuman's files. Raises InputError as `find_layout` and `open_split`
    do, and when the splits have different classes.
    """
    layout = find_layout(path)
    datasets = {
        split: open_split(layout, split, images_needed=split != "test", box=box) for split in layout.annotations
    }
    require_same_classes(list(datasets.values()))
    return Splits(format=layout.format, root=layout.root, not_read=layout.not_read, **datasets)


def open_split(
    layout: Layout,
    split: str,
    *,
    images_needed: bool = True,
    box: BoxKind = "fbox",
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> DetectionDataset:
    """Opens one split of a layout without reading the others.

    images_needed: False where only the boxes are used, as in scoring detections. box: which boxes to read from
    CrowdHuman's files. sizes: image id -> (height, width), used for CrowdHuman's images whose size cannot be read
    anywhere else. Raises InputError as the format's reader does, and for a kind of box that the format does not have.
    """
    dataset, problems = scan_split(layout, split, box=box, sizes=sizes)
    problems.refuse_errors(layout.annotations[split], except_for=() if images_needed else (IMAGES_NOT_FOUND,))
    return dataset


def scan_split(
    layout: Layout, split: str, *, box: BoxKind = "fbox", sizes: Mapping[str, tuple[int, int]] | None = None
) -> tuple[DetectionDataset, Problems]:
    """As `open_split`, but notes and leaves out bad records. Raises InputError where the whole file cannot be used."""
    require_boxes(layout, box)
    dataset, problems = layout.format.scan(layout.annotations[split], split=split, box=box, sizes=sizes)
    layout.format.judge(dataset, problems)
    return replace(dataset, protocol=layout.format.protocol), problems


def require_boxes(layout: Layout, box: BoxKind) -> None:
    """Raises InputError when the format of the layout does not have this kind of box."""
    if box not in layout.format.boxes:
        raise InputError(
            f"{layout.root} is {layout.format.name}, which has no {box}, only one box an object; leave --box out."
        )


def find_layout(path: Path) -> Layout:
    """Finds the annotation file of each split. The content of a file tells its format, its name the split.

    A folder is searched as `by_split` describes. A damaged file counts if its name says its split. Raises InputError
    when there is no annotation file, or more than one for a split.
    """
    if path.is_file():
        format = format_of(path)
        return Layout(format=format, root=path, annotations=format.find(path))
    if not path.is_dir():
        what = "is a link that leads nowhere" if path.is_symlink() else "does not exist"
        raise InputError(f"{path} {what}; give a dataset's folder or its annotation file.")
    for format in FORMATS:
        annotations = format.find(path)
        if annotations:
            damaged, not_read = passed_over(path, annotations, format.unlisted)
            annotations = {**annotations, **damaged}
            return Layout(format=format, root=path, annotations=annotations, not_read=tuple(not_read))
    raise nothing_to_read(path, readable())


def hold_out(
    dataset: DetectionDataset, fraction: float = 0.1, seed: int = 0
) -> tuple[DetectionDataset, DetectionDataset]:
    """Divides the images of a dataset into (train, val), both in the order of the dataset and neither empty.

    fraction: the share of the images that val gets. The seed and the number of images decide which ones. `skipped`
    is empty in both, because it counts records of the whole. Raises InputError when there is only one image.
    """
    assert 0 < fraction < 1, fraction
    if len(dataset) < 2:
        raise InputError(
            f"{dataset.source} has {counted(len(dataset), 'image')}, too few to hold any out for validation; "
            f"add images or a validation split."
        )
    held = min(max(1, round(len(dataset) * fraction)), len(dataset) - 1)
    order = np.random.default_rng(seed).permutation(len(dataset))
    return (
        dataset.subset(np.sort(order[held:]), split="train"),
        dataset.subset(np.sort(order[:held]), split="val"),
    )


def require_same_classes(datasets: list[DetectionDataset]) -> None:
    """Raises InputError unless all datasets have the same category ids with the same names."""
    for other in datasets[1:]:
        one = datasets[0]
        ours, theirs = (dict(zip(d.categories.ids, d.categories.names, strict=True)) for d in (one, other))
        for id in sorted(ours.keys() | theirs.keys()):
            if ours.get(id) != theirs.get(id):
                raise InputError(
                    f"{one.source} and {other.source} have different classes: id {id} is {ours.get(id, 'missing')} "
                    f"in the one and {theirs.get(id, 'missing')} in the other; give both the same `categories`."
                )


def _content(images: int, boxes: int) -> str:
    return f"{counted(images, 'image')}, {counted(boxes, 'box')}"
