"""Writes YOLO's text files: a line for each detection with class, centre, sides and score.

Centre and sides are shares of the image's sides. Classes are numbered from 0; classes.txt names them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uncrowd.data.results.found import FoundImage, Write
from uncrowd.structures import Categories
from uncrowd.whole_file import whole_file

LABELS, CLASSES = Path("yolo") / "labels", Path("yolo") / "classes.txt"


def yolo_file(name: Path) -> Path:
    """Returns where the detections of the image `name` go."""
    return LABELS / name.with_suffix(".txt")


@contextmanager
def writing_yolo(folder: Path, categories: Categories) -> Iterator[Write]:
    """Yields a function that writes the file of an image, an empty one where nothing was found."""
    (folder / LABELS).mkdir(parents=True, exist_ok=True)
    (folder / CLASSES).write_text("".join(f"{name}\n" for name in categories.names), encoding="utf-8")

    def write(image: FoundImage) -> None:
        target = folder / yolo_file(image.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as file:
            file.write_text("".join(f"{line}\n" for line in _lines(image)), encoding="utf-8")

    yield write


def _lines(image: FoundImage) -> Iterator[str]:
    found, (height, width) = image.detections, image.size
    for (x1, y1, x2, y2), score, label in zip(
        found.boxes.double().tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
    ):
        shares = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
        yield " ".join([str(label), *(f"{number:.6f}" for number in (*shares, score))])
