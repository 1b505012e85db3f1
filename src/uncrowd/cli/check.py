"""`uncrowd check D`: what is wrong with a dataset, and what training would make of it."""

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
    """Say what is wrong with a dataset: every image is opened, every box looked at; nothing is changed.

    Errors are what training refuses, warnings what it leaves out or what looks like a mistake, notes worth knowing.
    The exit status is 2 where there are errors.
    """

    # The dataset's folder, or its annotation file (COCO JSON or CrowdHuman's odgt).
    data: Annotated[Positional[Path], arg(metavar="DATA")]
    # Which boxes of CrowdHuman's odgt: the full body, its visible part, or the head.
    box: BoxKind = "fbox"


def main(argv: Sequence[str]) -> int:
    """Prints the findings; 2 where training would refuse the data, else 0."""
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
