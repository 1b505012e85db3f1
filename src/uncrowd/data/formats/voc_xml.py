"""One XML file of Pascal VOC: the size of an image and its objects."""

import json
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from uncrowd.data.formats.files import decoded
from uncrowd.data.formats.records import Box
from uncrowd.data.formats.values import LONGEST, as_length, as_truth
from uncrowd.words import printable


class Object(NamedTuple):
    """name: of its class, None where it has none. box: (xmin, ymin, xmax, ymax) as written, None unless four numbers.

    difficult: None where it is neither 0 nor 1. written: the numbers of the box as they are written.
    """

    name: str | None
    box: Box | None
    difficult: bool | None
    written: str


class Annotated(NamedTuple):
    """file_name: what the file says of its image. size: (height, width), None where it is not written or 0."""

    file_name: str | None
    size: tuple[int, int] | None
    objects: list[Object]


class _WithoutDoctype(ElementTree.TreeBuilder):
    """Refuses a document type: annotations need none, and its entities could fill the memory."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("it has a document type, which annotations do not need; remove <!DOCTYPE ...>")


def parse(file: Path) -> Annotated | str:
    """Returns what the file holds, or in words why it is no annotation of Pascal VOC."""
    parser = ElementTree.XMLParser(target=_WithoutDoctype())
    try:
        content = file.read_bytes()
        # What the file says of its encoding may be wrong where it was saved in another afterwards.
        parser.feed(content if json.detect_encoding(content).startswith("utf-8") else decoded(content))
        root: ElementTree.Element = parser.close()
    except OSError as error:
        return error.strerror or type(error).__name__
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: of an unknown encoding
        return str(error)
    if root.tag.startswith("{"):  # the elements of a namespace, which says nothing here
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
    if root.tag != "annotation":
        return f"it begins with <{printable(root.tag[:100])}>, not with <annotation>"
    height, width = as_length(_text(root, "size/height")), as_length(_text(root, "size/width"))
    size = None if height is None or width is None else (height, width)
    return Annotated(_text(root, "filename"), size, [_object(found) for found in root.findall("object")])


def _object(found: ElementTree.Element) -> Object:
    name = _text(found, "name")
    named = name is not None and len(name) <= LONGEST and printable(name) == name
    difficult = _text(found, "difficult")
    corners = [_text(found, f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")]
    return Object(
        name=name if named else None,
        box=_box(corners),
        difficult=False if difficult is None else as_truth(difficult),
        written=f"[{', '.join((corner or 'nothing')[:20] for corner in corners)}]",
    )


def _box(corners: list[str | None]) -> Box | None:
    with suppress(ValueError):
        x1, y1, x2, y2 = (float(corner or "") for corner in corners)
        return x1, y1, x2, y2
    return None


def _text(element: ElementTree.Element, path: str) -> str | None:
    """The text of an element below, without the spaces around it; None where there is none."""
    return (element.findtext(path) or "").strip() or None
