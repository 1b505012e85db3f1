"""Says what a file is that is no annotation file in a format that can be read."""

import json
import re
from pathlib import Path

from uncrowd.data.formats.files import HEAD, head

HOLDS_DETECTIONS = "{} holds detections, not ground truth; give the annotation file they belong to."

_AGAIN = "copy or export it again"
# Files of one image each, whose format is read if the rest of the dataset is where it belongs.
MENDS = {
    "YOLO's text": "the boxes of one image; give the dataset's folder, with a data.yaml that has names, train and val",
    "Pascal VOC's XML": "the objects of one image; give the dataset's folder, with the XML files in Annotations/ or "
    "beside the images",
}
# A number and four coordinates or more, on each line.
_YOLO = re.compile(r"\s*\d+(\s+-?[\d.]+(e-?\d+)?){4,}\s*", re.IGNORECASE)
_CSV = re.compile(r"\b(x_?min|x_?1|bbox|box|file_?name|image(_?id|_?path)?)\b", re.IGNORECASE)


def flaw(file: Path) -> str | None:
    """Returns why a file holds no annotations in any format, as a clause with the mend: "is empty; copy it again".

    None where the file has no such flaw. Raises InputError when it cannot be read.
    """
    text = head(file)
    start = text[:200].lower()
    if not text.strip("\0 \r\n\t"):
        return f"is empty; {_AGAIN}"
    if start.startswith("version https://git-lfs"):
        return "is a Git LFS pointer in place of the file; run `git lfs pull`"
    if start.startswith(("<!doctype html", "<html")):
        return "is an HTML page, as a download without login gives; download the file itself"
    if text.startswith(("PK\x03\x04", "\x1f\ufffd", "Rar!")):
        return "is a packed archive; unpack it"
    return None


def other_format(file: Path) -> str | None:
    """Returns the name of a format that is known and cannot be read, or None where the file has none of these."""
    text, suffix = head(file), file.suffix.lower()
    if text.startswith("<"):
        return _xml(text)
    if suffix in (".csv", ".tsv"):
        return "CSV" if len(_CSV.findall(text.partition("\n")[0])) > 1 else None
    if text.startswith(("{", "[")):
        return _json(text)
    lines = text.splitlines()[:5]
    return "YOLO's text" if suffix == ".txt" and lines and all(map(_YOLO.fullmatch, lines)) else None


def damage(file: Path) -> str | None:
    """Returns the flaw of a file, or where it is damaged if it is JSON, as `flaw` does."""
    found, text = flaw(file), head(file)
    if found is not None or file.suffix.lower() != ".json" or len(text) == HEAD:
        return found
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"is cut off or damaged at line {error.lineno}, column {error.colno} ({error.msg}); {_AGAIN}"
    except (ValueError, RecursionError) as error:
        return f"cannot be read as JSON ({error}); {_AGAIN}"
    return None


def why_none(file: Path) -> str:
    """Returns, as `flaw` does, why a file is no annotation file, where its format is not known."""
    lists = "lists of images, annotations and categories"
    what = f"is a list, not an object with {lists}" if head(file).startswith("[") else f"has no {lists}"
    return damage(file) or f"{what}; export it as COCO JSON"


def _xml(text: str) -> str | None:
    if "<annotations" in text and "<image " in text:
        return "CVAT's XML"
    return "Pascal VOC's XML" if "<annotation" in text and "<object" in text else None


def _json(text: str) -> str | None:
    of_objects = {
        "labelme's JSON": ('"shapes"', '"imagePath"'),
        "VIA's JSON": ('"shape_attributes"',),
        "Supervisely's JSON": ('"classTitle"',),
    }
    of_lists = {"Label Studio's JSON": ('"result"', '"data"'), "CreateML's JSON": ('"coordinates"', '"image')}
    signs = of_objects if text.startswith("{") else of_lists
    return next((name for name, keys in signs.items() if all(key in text for key in keys)), None)
