"""`uncrowd check DATA`: reports what is wrong with a dataset and what training would do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from uncrowd.cli.flags import parse
from uncrowd.data.check.splits import check, scan
from uncrowd.data.formats.format import BoxKind
from uncrowd.data.formats.open import find_layout
from uncrowd.words import counted


@dataclass(frozen=True, kw_only=True)
class CheckArguments:
    """Check a dataset: opens every image and examines every box, and changes nothing.

    An error makes training refuse the dataset. A warning names something that training leaves out or that is probably a
    mistake, and a note is for information. The exit status is 2 if there are errors.
    """

    # Folder of the dataset, or its annotation file (COCO JSON or CrowdHuman's odgt).
    data: Annotated[Positional[Path], arg(metavar="DATA")]
    # Boxes of CrowdHuman's odgt to use: fbox is the full body, vbox its visible part, hbox the head.
    box: BoxKind = "fbox"


def main(argv: Sequence[str]) -> int:
    """Prints the findings. Returns 2 if training would refuse the dataset, else 0."""
    arguments = parse(CheckArguments, argv, "uncrowd check")
    scanned = scan(find_layout(arguments.data), arguments.box)
    print(scanned.splits.outline(), flush=True)
    findings = check(scanned)
    for finding in findings:
        print(finding.sentence())
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    print(
        f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
        if errors or warnings
        else "Nothing is wrong with it."
    )
    return 2 if errors else 0
