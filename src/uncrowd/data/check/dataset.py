"""Checks a dataset: collects all its faults, instead of stopping at the first, and what training does with them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from uncrowd.argument_types import checked_types
from uncrowd.data.check.boxes import check_boxes
from uncrowd.data.check.crowding import describe_crowding
from uncrowd.data.check.images import ImageFacts, check_images, inspect_images, judge_readable
from uncrowd.data.check.splits import check_splits
from uncrowd.data.check.training import TrainingData, training_data
from uncrowd.data.classes import ClassMap, class_map, keep_classes
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.format import BoxKind
from uncrowd.data.formats.layout import Data, Layout, find_layout, require_boxes
from uncrowd.data.formats.open import scan_split
from uncrowd.data.images.file import MAX_PIXELS
from uncrowd.data.images.rules import IMAGES_NOT_FOUND
from uncrowd.data.problems import Finding, Problems, Severity
from uncrowd.data.splits import Splits, require_same_classes
from uncrowd.errors import InputError

_ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """The contents of the annotation files of a layout, without bad records; no image has been opened yet.

    problems: the problems of each split that could be read. refused: a finding for each file that could not be used.
    """

    splits: Splits
    problems: list[Problems]
    refused: list[Finding]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What is wrong with a dataset, errors first, then warnings, then notes; and what training uses, if it does.

    training: None if training refuses the dataset, which it does if there are errors.
    unusable: file and size, (height, width), of each record whose image cannot be read or has another size.
    """

    scanned: Scanned
    findings: list[Finding]
    training: TrainingData | None
    unusable: frozenset[tuple[Path, tuple[int, int]]]

    def number(self, severity: Severity) -> int:
        """Returns how many findings have this severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def usable(self, dataset: DetectionDataset) -> list[int]:
        """Returns the positions of the images of one of the datasets, or of a part of it, that can be used."""
        return [index for index in range(len(dataset)) if _record(dataset, index) not in self.unusable]

    def usable_images(self, dataset: DetectionDataset) -> int:
        """Returns how many images of one of the datasets, or of a part of it, can be used."""
        return len(self.usable(dataset))


@checked_types(data="a folder, an annotation file, or a list of them")
def check_dataset(
    data: Data,
    *,
    box: BoxKind = "fbox",
    classes: ClassMap | Sequence[str] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Checked:
    """Says what is wrong with a dataset: opens every image and examines every box, as `uncrowd check` does.

    `findings` of the result has a `sentence()` for each fault and for each fact worth knowing; `training` is None where
    training would refuse the dataset. data, box, classes: as in `open_dataset`. max_pixels: width times height up to
    which an image is decoded; a larger one counts as unreadable.

    Raises InputError where there is no dataset, and for boxes or classes that it does not have.
    """
    chosen = None if classes is None else class_map(classes)
    return check(scan(find_layout(data), box, chosen), max_pixels=max_pixels)


def scan(layout: Layout, box: BoxKind = "fbox", classes: ClassMap | None = None) -> Scanned:
    """Reads the annotation files of a layout.

    It does not take opened datasets, because files that a reader refuses must be listed too. box: which of CrowdHuman's
    boxes to read. classes: the class map; what is wrong with the records of all classes is noted. Raises InputError if
    the format does not have these boxes, or the dataset not these classes.
    """
    require_boxes(layout, box)
    datasets: dict[str, DetectionDataset] = {}
    problems: list[Problems] = []
    refused: list[Finding] = []
    for split in layout.splits:
        try:
            datasets[split], noted = scan_split(layout, split, box=box, classes=classes)
            problems.append(noted)
        except InputError as error:
            refused.append(_refused("annotation file", split, error))
    if classes is not None:
        datasets = {split: keep_classes(dataset, classes) for split, dataset in datasets.items()}
    return Scanned(
        splits=Splits(format=layout.format, root=layout.root, not_read=layout.not_read, **datasets),
        problems=problems,
        refused=refused,
    )


def check(scanned: Scanned, seed: int = 0, max_pixels: int = MAX_PIXELS) -> Checked:
    """Checks everything. Decodes every image, on all cores.

    seed: that of training, which holds images out by it. max_pixels: width times height up to which an image is read.
    """
    findings = list(scanned.refused)
    facts: list[list[ImageFacts]] = []
    datasets = scanned.splits.present
    for dataset, problems in zip(datasets, scanned.problems, strict=True):
        facts.append([] if IMAGES_NOT_FOUND in problems else inspect_images(dataset, max_pixels))
        check_images(dataset, facts[-1], problems)
        check_boxes(dataset, problems)
        findings += [*_as_used(dataset, problems, max_pixels), *describe_crowding(dataset)]
    between = Problems()
    check_splits(datasets, facts, between)
    findings += between.findings()
    try:
        require_same_classes(datasets)
    except InputError as error:
        findings.append(_refused("classes differ", "", error))
    data = None
    if not scanned.refused and not any(f.kind == IMAGES_NOT_FOUND.kind and f.severity == "error" for f in findings):
        data, refusals = training_data(scanned.splits, seed, max_pixels)
        findings += refusals
    findings.sort(key=lambda finding: _ORDER.index(finding.severity))
    refuses = any(finding.severity == "error" for finding in findings)
    return Checked(
        scanned=scanned, findings=findings, training=None if refuses else data, unusable=_unusable(datasets, facts)
    )


def _record(dataset: DetectionDataset, index: int) -> tuple[Path, tuple[int, int]]:
    height, width = dataset.sizes[index].tolist()
    return dataset.path(index), (height, width)


def _unusable(
    datasets: list[DetectionDataset], facts: list[list[ImageFacts]]
) -> frozenset[tuple[Path, tuple[int, int]]]:
    return frozenset(
        _record(dataset, index)
        for dataset, inspected in zip(datasets, facts, strict=True)
        for index, size in enumerate(dataset.sizes.tolist())
        if not inspected or not inspected[index].fits(tuple(size))  # no image of a split is inspected if none is found
    )


def _as_used(dataset: DetectionDataset, problems: Problems, max_pixels: int) -> list[Finding]:
    """The findings of one split. Training does not read the images of the test split, so it does not refuse them."""
    findings = problems.findings(dataset.split)
    if dataset.split != "test":
        return findings
    if IMAGES_NOT_FOUND not in problems:
        unreadable = Problems()
        judge_readable(dataset, unreadable, max_pixels)
        findings += [replace(finding, severity="warning") for finding in unreadable.findings("test")]
    return [replace(f, severity="warning") if f.kind == IMAGES_NOT_FOUND.kind else f for f in findings]


def _refused(kind: str, split: str, error: InputError) -> Finding:
    """Returns a finding with the sentence of a reader's error."""
    return Finding(
        kind=kind,
        severity="error",
        split=split,
        count=1,
        examples=[],
        message=str(error).rstrip("."),
        training="training refuses it",
    )
