"""What `uncrowd predict` does with image files, some at a time: it reads them, detects, and writes what each gives."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from uncrowd.cli.image_arguments import path_below
from uncrowd.cli.thresholds import Chosen
from uncrowd.data.images.read import ImageContent, read_content, read_tiff_rows
from uncrowd.data.images.tiff_rows import TiffRows
from uncrowd.data.results.found import FoundImage, Write
from uncrowd.errors import InputError
from uncrowd.inference.predictor import Predictor
from uncrowd.structures import Detections
from uncrowd.visualize.draw import draw_detections
from uncrowd.words import one_line


class DetectedFile(NamedTuple):
    """What one file gave.

    said: lines for the user. image: without its pixels; None if it was left out. pages: how many the file has. full: a
    sentence if the image may hold more objects than the detector can report.
    """

    said: list[str]
    image: FoundImage | None = None
    pages: int = 0
    full: str | None = None


@dataclass(frozen=True, kw_only=True)
class DetectedFiles:
    """Called with files, it yields what each gave, and has written what is written for the file alone.

    only, threshold: the classes and the scores of what is kept. out: the folder for annotated images; None for none.
    folders: those that the user named. names: the path of each file's results. writers: for the files of single images.
    in_rows: do not decode an image before it is detected in, where that can be avoided.
    """

    predictor: Predictor
    batch_size: int
    only: Sequence[str]
    threshold: Chosen
    out: Path | None
    folders: Sequence[Path]
    names: Mapping[Path, Path]
    writers: Sequence[Write]
    in_rows: bool

    def __call__(self, files: Sequence[Path]) -> Iterator[DetectedFile]:
        """Detects in one batch. A file that cannot be read is left out with a sentence."""
        content: dict[Path, ImageContent | TiffRows] = {}
        for file in files:
            try:
                content[file] = self._read(file)
            except InputError as error:
                yield _left_out(error)
        pixels = [image if isinstance(image, TiffRows) else image.pixels for image in content.values()]
        try:
            found = self.predictor.predict(pixels, 0.0, self.batch_size)
        except InputError as error:
            if not self.in_rows:
                raise
            yield _left_out(error)  # such a file proves damaged only now
            return
        for (file, image), detections in zip(content.items(), found, strict=True):
            size = image.size if isinstance(image, TiffRows) else image.pixels.shape[:2]
            said = [one_line(f"note: {file}: {note}") for note in image.notes()]
            full = self.predictor.note_if_full(detections.above(self.threshold.counted), size)
            yield DetectedFile(said, self._written(file, image, size, detections), image.pages, full)

    def _read(self, file: Path) -> ImageContent | TiffRows:
        limit = self.predictor.max_pixels
        rows = read_tiff_rows(file, max_pixels=limit) if self.in_rows else None
        return rows or read_content(file, max_pixels=limit)

    def _written(
        self, file: Path, image: ImageContent | TiffRows, size: tuple[int, int], everything: Detections
    ) -> FoundImage:
        of_classes = everything[_among(everything, self.only)]
        pixels = None if isinstance(image, TiffRows) else image.pixels
        found = FoundImage(
            file,
            path_below(file, self.folders),
            self.names[file],
            size,
            pixels,
            of_classes.above(self.threshold.shown),
            of_classes.above(self.threshold.counted).counts,
            annotated=self.out is not None,
        )
        if pixels is not None and self.out is not None:
            _draw(pixels, found.detections, self.out / found.name)
        for write in self.writers:
            write(found)
        return found._replace(pixels=None)


def _left_out(error: InputError) -> DetectedFile:
    return DetectedFile([f"left out: {error}"])


def _among(found: Detections, only: Sequence[str]) -> torch.Tensor:
    wanted = torch.tensor([name in only for name in found.categories.names])
    return wanted[found.labels]


def _draw(image: UInt8[np.ndarray, "h w 3"], detections: Detections, target: Path) -> None:
    annotated = draw_detections(image, detections.boxes, labels=detections.labels, captions=detections.captions)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(annotated).save(target, quality=92)
