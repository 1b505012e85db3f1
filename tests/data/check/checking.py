"""Checks small datasets, for the tests of this folder."""

import json
from pathlib import Path
from typing import Any

from tests.data.coco_files import annotation, content, image, write
from uncrowd.data.check.dataset import check, scan
from uncrowd.data.formats.layout import find_layout
from uncrowd.data.problems import Finding

# Two classes, both used, nothing wrong.
SOUND = [annotation(1, 1), annotation(2, 2, category_id=7)]
# A validation split: with it, no image is held out.
VAL = content(images=[image(91), image(92)], annotations=[annotation(1, 91), annotation(2, 92, category_id=7)])


def check_data(path: Path) -> list[Finding]:
    return check(scan(find_layout(path))).findings


def check_parts(folder: Path, **parts: Any) -> list[Finding]:
    """Checks a training split with some parts of its content replaced, beside a sound validation split."""
    write(folder / "instances_val.json", VAL)
    write(folder / "instances_train.json")
    (folder / "instances_train.json").write_text(json.dumps(content(**parts)))
    return check_data(folder)


def kinds(findings: list[Finding]) -> dict[str, int]:
    """Kind -> count, without the crowding note that every dataset with boxes has."""
    return {finding.kind: finding.count for finding in findings if finding.kind != "crowding"}


def examples(findings: list[Finding]) -> dict[str, list[str]]:
    """Kind -> the names of the records."""
    return {finding.kind: list(finding.examples) for finding in findings}
