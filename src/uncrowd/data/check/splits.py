"""Checks a dataset: collects all its faults, instead of stopping at the first, and what training does with them."""

from dataclasses import dataclass, replace
from pathlib import Path

from uncrowd.data.check.boxes import check_boxes, describe_crowding
from uncrowd.data.check.images import ImageFacts, check_images, inspect_images
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.format import BoxKind
from uncrowd.data.formats.open import Layout, Splits, require_boxes, require_same_classes, scan_split
from uncrowd.data.image_files import IMAGES_NOT_FOUND
from uncrowd.data.problems import Finding, Problems, Rule
from uncrowd.errors import InputError
from uncrowd.structures import ImageId

SHARED_RECORD = Rule(
    kind="image in two splits",
    severity="warning",
    message="images with the same id and file name in two splits",
    training="scores on images that were trained on say nothing; keep each in one split",
)
SHARED_CONTENT = Rule(
    kind="image in two splits",
    severity="warning",
    message="image files with the same content in two splits",
    training="scores on images that were trained on say nothing; keep each in one split",
)
_ORDER = ("error", "warning", "note")


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """The contents of the annotation files of a layout, without bad records; no image has been opened yet.

    problems: the problems of each split that could be read. refused: a finding for each file that could not be used.
    """

    splits: Splits
    problems: list[Problems]
    refused: list[Finding]


def scan(layout: Layout, box: BoxKind = "fbox") -> Scanned:
    """Reads the annotation files of a layout.

    It does not take opened datasets, because files that a reader refuses must be listed too. box: which of CrowdHuman's
    boxes to read. Raises InputError if the format does not have these boxes.
    """
    require_boxes(layout, box)
    datasets: dict[str, DetectionDataset] = {}
    problems: list[Problems] = []
    refused: list[Finding] = []
    for split in layout.annotations:
        try:
            datasets[split], noted = scan_split(layout, split, box=box)
            problems.append(noted)
        except InputError as error:
            refused.append(_refused("annotation file", split, error))
    return Scanned(
        splits=Splits(format=layout.format, root=layout.root, **datasets), problems=problems, refused=refused
    )


def check(scanned: Scanned) -> list[Finding]:
    """Returns all findings: errors first, then warnings, then notes. Decodes every image, on all cores."""
    findings = list(scanned.refused)
    facts: list[list[ImageFacts]] = []
    datasets = scanned.splits.present
    for dataset, problems in zip(datasets, scanned.problems, strict=True):
        facts.append([] if IMAGES_NOT_FOUND in problems else inspect_images(dataset))
        check_images(dataset, facts[-1], problems)
        check_boxes(dataset, problems)
        found = problems.findings(dataset.split)
        if dataset.split == "test":  # training does not read its images
            found = [replace(f, severity="warning") if f.kind == IMAGES_NOT_FOUND.kind else f for f in found]
        findings += [*found, *describe_crowding(dataset)]
    findings += _between_splits(datasets, facts)
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))


def _between_splits(datasets: list[DetectionDataset], facts: list[list[ImageFacts]]) -> list[Finding]:
    problems = Problems()
    records: dict[tuple[ImageId, str], str] = {}
    contents: dict[bytes, Path] = {}
    for dataset, inspected in zip(datasets, facts, strict=True):
        shared: set[int] = set()
        for index, record in enumerate(zip(dataset.ids.tolist(), dataset.file_names.tolist(), strict=True)):
            if records.setdefault(record, dataset.split) != dataset.split:
                shared.add(index)
                problems.add(SHARED_RECORD, f"{record[1]}: {records[record]} and {dataset.split}")
        digests = {index: fact.digest for index, fact in enumerate(inspected) if fact.digest is not None}
        for index, digest in digests.items():
            if digest in contents and index not in shared:
                problems.add(SHARED_CONTENT, f"{contents[digest]} and {dataset.path(index)}")
        for index, digest in digests.items():
            contents.setdefault(digest, dataset.path(index))
    findings = problems.findings()
    try:
        require_same_classes(datasets)
    except InputError as error:
        findings.append(_refused("classes differ", "", error))
    return findings


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
