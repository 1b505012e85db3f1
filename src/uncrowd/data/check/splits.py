"""Compares the splits of a dataset with each other: they share classes and no image."""

from pathlib import Path

from uncrowd.data.check.images import ImageFacts
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.problems import Problems, Rule
from uncrowd.structures import ImageId

_LEAK = "scores on images that were trained on say nothing; keep each in one split"

SHARED_CONTENT = Rule(
    kind="image in two splits",
    severity="warning",
    message="image files with the same content in two splits",
    training=_LEAK,
)
SHARED_RECORD = Rule(
    kind="image in two splits",
    severity="warning",
    message="images with the same id and file name in two splits, whose contents cannot be compared",
    training=_LEAK,
)


def check_splits(datasets: list[DetectionDataset], facts: list[list[ImageFacts]], problems: Problems) -> None:
    """Adds images that are in two splits. Records count only where a file cannot be read: splits may number alike.

    facts: of the images of each dataset, or empty where they cannot be found.
    """
    contents: dict[bytes, tuple[str, Path]] = {}
    records: dict[tuple[ImageId, str], tuple[str, bytes | None]] = {}
    for dataset, inspected in zip(datasets, facts, strict=True):
        digests = [fact.digest for fact in inspected] or [None] * len(dataset)
        names = zip(dataset.ids.tolist(), dataset.file_names.tolist(), strict=True)
        for index, (digest, record) in enumerate(zip(digests, names, strict=True)):
            path = dataset.path(index)
            if digest is not None:
                split, first = contents.setdefault(digest, (dataset.split, path))
                if split != dataset.split:
                    problems.add(SHARED_CONTENT, f"{first} and {path}")
            split, other = records.setdefault(record, (dataset.split, digest))
            if split != dataset.split and (digest is None or other is None):
                problems.add(SHARED_RECORD, f"{record[1]}: {split} and {dataset.split}")
