"""Which format an annotation file has: by its content, for names say little."""

import re
from pathlib import Path
from typing import Literal, get_args

from uncrowd.data.images_folder import split_of
from uncrowd.errors import InputError

Format = Literal["COCO JSON", "CrowdHuman odgt"]
FORMATS: tuple[Format, ...] = get_args(Format)
# The first key that tells a format comes this early, whatever the order of the keys.
HEAD = 65536


def head(file: Path) -> str:
    """The beginning of a file as text. Raises InputError when it cannot be read."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as stream:
            return stream.read(HEAD).lstrip()
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error}); check its permissions.") from error


def format_of(file: Path) -> Format:
    """The format of a file that is meant to hold annotations. Raises InputError for one that is known but not read."""
    refuse_other_formats(file)
    return "CrowdHuman odgt" if file.suffix == ".odgt" or is_odgt(head(file)) else "COCO JSON"


def files_of(format: Format, folder: Path) -> list[Path]:
    """The annotation files of this format directly in `folder`, a damaged one among them if its name says what it is.

    Where COCO's own captions and keypoints lie beside, those with boxes; of COCO's lists of images without boxes that
    of test-dev, a part of the test images and what COCO's server scores.
    """
    match format:
        case "COCO JSON":
            files = sorted(file for file in folder.glob("*.json") if file.is_file() and _is_coco(file))
            lists = [file for file in files if file.name.startswith("image_info_")]
            others = [file for file in files if file not in lists]
            files = [file for file in others if file.name.startswith("instances_")] or others
            tested = any(split_of(file.stem) == "test" for file in files)
            return files if tested else [*files, *[file for file in lists if split_of(file.stem) == "test"][:1]]
        case "CrowdHuman odgt":
            files = sorted(file for s in ("odgt", "json", "jsonl", "txt") for file in folder.glob(f"*.{s}"))
            return [file for file in files if file.is_file() and _is_crowdhuman(file)]


def is_odgt(text: str) -> bool:
    """Whether a file that begins so holds CrowdHuman's ground truth or detections."""
    return re.search(r'"(gtboxes|dtboxes)"\s*:', text) is not None


def is_without_annotations(file: Path) -> bool:
    """Whether a COCO file says only what its images are, as those of COCO's test sets do."""
    return "annotations" not in head(file) and _is_coco(file) and b'"annotations"' not in file.read_bytes()


def refuse_other_formats(path: Path) -> None:
    """Raises InputError when `path` is, or holds, annotations that are known but not read."""
    files = [path] if path.is_file() else [f for s in ("xml", "yaml", "yml") for f in path.rglob(f"*.{s}")]
    for file in filter(Path.is_file, files):
        text = head(file)
        formats = {
            "Pascal VOC's XML": "<annotation" in text and "<object" in text,
            "YOLO's YAML": file.suffix in (".yaml", ".yml") and "names:" in text,
        }
        for name, found in formats.items():
            if found:
                raise InputError(
                    f"{file} looks like {name}, but only {' and '.join(FORMATS)} are read so far; convert it to one."
                )


def _is_coco(file: Path) -> bool:
    # a damaged one is meant to be COCO's too, for its reader says more about it
    return file.name.startswith("instances_") or bool(
        re.search(r'"(images|annotations|categories)"\s*:\s*\[', head(file))
    )


def _is_crowdhuman(file: Path) -> bool:
    if file.name.startswith("annotation") and file.suffix == ".odgt":
        return True
    text = head(file)
    return '"gtboxes"' in text and '"dtboxes"' not in text  # CrowdDet's detections have both
