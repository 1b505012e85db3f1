"""`uncrowd check D`: what is wrong with a data set, and what training would make of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from uncrowd.data.check import check
from uncrowd.data.open import find_layout


@dataclass(frozen=True, kw_only=True)
class CheckArguments:
    """Say what is wrong with a data set: every picture is opened, every box looked at."""

    # Folder or annotation file of the data set.
    data: tyro.conf.Positional[Path]


def main(argv: Sequence[str]) -> int:
    """Prints the findings; 2 where training would refuse the data, else 0."""
    arguments = tyro.cli(CheckArguments, args=list(argv), prog="uncrowd check")
    layout = find_layout(arguments.data)
    files = ", ".join(f"{split} ({file.name})" for split, file in layout.annotations.items())
    print(f"{layout.format} in {layout.root}: {files}")
    findings = check(layout)
    for finding in findings:
        print(finding.sentence())
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    print(f"{errors} errors, {warnings} warnings" if errors or warnings else "Nothing is wrong with it.")
    return 2 if errors else 0
