"""Small datasets in CrowdHuman's odgt on disk, for the tests of this folder to spoil."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.data.coco_files import draw

BESIDE = Path()


def person(**changes: Any) -> dict[str, Any]:
    """A record of `gtboxes` whose three boxes differ; a change to None leaves the key out."""
    record = {"tag": "person", "fbox": [1, 2, 30, 20], "vbox": [1, 2, 30, 10], "hbox": [10, 2, 8, 6]}
    return {key: value for key, value in (record | {"extra": {"box_id": 0}} | changes).items() if value is not None}


def line(id: Any = "a", boxes: Any = None, **more: Any) -> dict[str, Any]:
    """As CrowdHuman has them: without width and height."""
    return {"ID": id, "gtboxes": [person()] if boxes is None else boxes} | more


def write(file: Path, lines: Sequence[Any] | None = None, image_folder: Path | None = BESIDE) -> Path:
    """The file, strings as they are, and an image for each line, beside it, in `image_folder`, or nowhere."""
    lines = [line("a"), line("b")] if lines is None else lines
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{text if isinstance(text, str) else json.dumps(text)}\n" for text in lines))
    if image_folder is not None:
        folder = file.parent if image_folder == BESIDE else image_folder
        folder.mkdir(parents=True, exist_ok=True)
        for record in lines:
            if isinstance(record, dict) and "gtboxes" in record:
                draw(folder / f"{record['ID']}.jpg")
    return file
