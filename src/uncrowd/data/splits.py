"""The splits of a dataset, which have the same classes; one of them can be held out of another."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uncrowd.data.dataset import DetectionDataset
from uncrowd.errors import InputError
from uncrowd.words import counted, first, one_line


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The datasets in one folder or of one annotation file, `root`. A split that does not exist is None.

    format: its name. not_read: as in `Part`.
    """

    format: str
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
            return [f"{self.format} in {self.root}: nothing that can be read"]
        names = self.present[0].categories.names
        images, boxes = sum(map(len, self.present)), sum(len(dataset.boxes) for dataset in self.present)
        classes = f"{counted(len(names), 'class')} ({first(names, 10)})"
        lines = [f"{self.format} in {self.root}: {_content(images, boxes)}, {classes}"]
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


def _content(images: int, boxes: int) -> str:
    return f"{counted(images, 'image')}, {counted(boxes, 'box')}"


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
