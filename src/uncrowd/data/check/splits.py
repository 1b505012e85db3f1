"""What is wrong with a dataset, in words, and what training makes of it: everything at once, not the first mistake."""

from dataclasses import dataclass, replace
from pathlib import Path

from uncrowd.data.check.boxes import check_boxes, describe_crowding
from uncrowd.data.check.images import Look, check_images, look_at
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.format import BoxKind
from uncrowd.data.formats.open import Layout, Splits, require_boxes, require_same_classes, scan_split
from uncrowd.data.formats.records import IMAGES_NOT_FOUND
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
    """What the annotation files of a layout hold, bad records noted and left out; images are not yet looked at.

    problems: of each split that is there. refused: files that cannot be used as a whole.
    """

    splits: Splits
    problems: list[Problems]
    refused: list[Finding]


def scan(layout: Layout, box: BoxKind = "fbox") -> Scanned:
    """Reads the annotation files. box: which boxes of CrowdHuman's; InputError for other boxes than a format's own.

    Works from the files and not from opened datasets, for what a reader refuses is to be listed with the rest.
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
    """Everything that is wrong or worth knowing, errors first, then warnings and notes.

    Every image is decoded, on all cores.
    """
    findings = list(scanned.refused)
    looks: list[list[Look]] = []
    datasets = scanned.splits.present
    for dataset, problems in zip(datasets, scanned.problems, strict=True):
        looks.append([] if IMAGES_NOT_FOUND in problems else look_at(dataset))
        check_images(dataset, looks[-1], problems)
        check_boxes(dataset, problems)
        found = problems.findings(dataset.split)
        if dataset.split == "test":  # training does without its images
            found = [replace(f, severity="warning") if f.kind == IMAGES_NOT_FOUND.kind else f for f in found]
        findings += [*found, *describe_crowding(dataset)]
    findings += _between_splits(datasets, looks)
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))


def _between_splits(datasets: list[DetectionDataset], looks: list[list[Look]]) -> list[Finding]:
    problems = Problems()
    records: dict[tuple[ImageId, str], str] = {}
    contents: dict[bytes, Path] = {}
    for dataset, seen in zip(datasets, looks, strict=True):
        shared: set[int] = set()
        for index, record in enumerate(zip(dataset.ids.tolist(), dataset.file_names.tolist(), strict=True)):
            if records.setdefault(record, dataset.split) != dataset.split:
                shared.add(index)
                problems.add(SHARED_RECORD, f"{record[1]}: {records[record]} and {dataset.split}")
        digests = {index: look.digest for index, look in enumerate(seen) if look.digest is not None}
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
    """A refusal, whose sentence is complete, as a finding."""
    return Finding(
        kind=kind,
        severity="error",
        split=split,
        count=1,
        examples=[],
        message=str(error).rstrip("."),
        training="training refuses it",
    )
