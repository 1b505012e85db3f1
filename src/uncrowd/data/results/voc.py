"""Writes Pascal VOC's XML: a file with the objects of each image, each with its score, which VOC itself does not know.

VOC counts whole pixels from 1, and the last one is part of the box. Its readers expect no decimals.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from xml.etree import ElementTree as ET

from uncrowd.data.results.found import FoundImage, Write
from uncrowd.whole_file import whole_file
from uncrowd.words import printable


def voc_file(name: Path) -> Path:
    """Returns where the detections of the image `name` go."""
    return Path("voc") / name.with_suffix(".xml")


@contextmanager
def writing_voc(folder: Path) -> Iterator[Write]:
    """Yields a function that writes the file of an image."""

    def write(image: FoundImage) -> None:
        target = folder / voc_file(image.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as file:
            ET.ElementTree(_annotation(image)).write(file, encoding="utf-8", xml_declaration=True)

    yield write


def _annotation(image: FoundImage) -> ET.Element:
    root = ET.Element("annotation")
    _add(root, "filename", printable(image.below.as_posix()))  # XML cannot hold control characters
    size = ET.SubElement(root, "size")
    for name, number in zip(("width", "height", "depth"), (image.size[1], image.size[0], 3), strict=True):
        _add(size, name, str(number))
    found = image.detections
    for name, score, (x1, y1, x2, y2) in zip(
        found.names, found.scores.tolist(), found.boxes.double().tolist(), strict=True
    ):
        thing = ET.SubElement(root, "object")
        _add(thing, "name", name)
        _add(thing, "difficult", "0")
        _add(thing, "score", f"{score:.4f}")
        box = ET.SubElement(thing, "bndbox")
        # a box thinner than a pixel has the pixel that it ends in
        left, top = max(1, min(round(x1) + 1, ceil(x2))), max(1, min(round(y1) + 1, ceil(y2)))
        corners = (left, top, max(left, round(x2)), max(top, round(y2)))
        for key, number in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            _add(box, key, str(number))
    ET.indent(root)
    return root


def _add(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = text
