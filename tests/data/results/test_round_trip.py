"""What is written as annotations is read back with the same boxes and classes, in every format that is read as well."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.coco import read_coco
from uncrowd.data.formats.odgt import PERSON
from uncrowd.data.formats.voc import read_voc
from uncrowd.data.formats.yolo import read_yolo
from uncrowd.data.results.file import read_detections
from uncrowd.data.results.found import FoundImage
from uncrowd.data.results.written import ResultFormat, writing
from uncrowd.structures import Categories, Detections

# Each format with the folder that its images belong into, what reads it there, and how far a corner may move.
READERS: dict[ResultFormat, tuple[str, Callable[[Path], DetectionDataset], float]] = {
    "coco": (".", lambda folder: read_coco(folder / "coco.json"), 0),
    "yolo": ("yolo/images", lambda folder: read_yolo(folder / "yolo" / "classes.txt"), 1e-4),
    "voc": ("voc", lambda folder: read_voc(folder / "voc"), 1.0),
}
printed = st.characters(exclude_categories=["C", "Z"]) | st.just(" ")
names = st.text(printed, min_size=1, max_size=8).filter(lambda name: name == name.strip())


def spans(length: int) -> st.SearchStrategy[list[int]]:
    """Two numbers from 0 to `length`, the smaller first."""
    return st.lists(st.integers(0, length), min_size=2, max_size=2, unique=True).map(sorted)


@st.composite
def found_images(draw: st.DrawFn, categories: Categories | None = None) -> list[FoundImage]:
    """One to three images with up to three boxes, whose corners are multiples of a sixteenth of a pixel."""
    if categories is None:
        classes = draw(st.lists(names, min_size=1, max_size=3, unique=True))
        categories = Categories(ids=tuple(range(1, len(classes) + 1)), names=tuple(classes))
    found = []
    for name in draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True)):
        width, height = draw(st.tuples(st.integers(4, 90), st.integers(4, 90)))
        boxes = []
        for _ in range(draw(st.integers(0, 3))):
            (x1, x2), (y1, y2) = (draw(spans(16 * side)) for side in (width, height))
            boxes.append([x1 / 16, y1 / 16, x2 / 16, y2 / 16])
        detections = Detections(
            boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            scores=torch.linspace(0.9, 0.5, len(boxes)),
            labels=torch.tensor([draw(st.integers(0, len(categories) - 1)) for _ in boxes], dtype=torch.int64),
            categories=categories,
        )
        path = Path(f"{name}.png")
        found.append(FoundImage(path, path, path.with_suffix(".jpg"), (height, width), None, detections, {}, False))
    return found


def write(folder: Path, format: ResultFormat, images: list[FoundImage]) -> None:
    with writing(format, folder, images[0].detections.categories) as add:
        for image in images:
            add(image)


@pytest.mark.parametrize("format", READERS)
@settings(max_examples=10, deadline=None)
@given(images=found_images())
def test_annotations_are_read_back(
    format: ResultFormat, images: list[FoundImage], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp(format)
    write(folder, format, images)
    place, read, tolerance = READERS[format]
    for image in images:
        (folder / place).mkdir(exist_ok=True)
        height, width = image.size
        Image.new("L", (width, height)).save(folder / place / image.file)
    dataset = read(folder)
    samples = {sample.path.name: sample for sample in dataset}
    assert samples.keys() == {image.file.name for image in images}
    for image in images:
        sample = samples[image.file.name]
        assert sample.size == image.size
        assert [dataset.categories.names[label] for label in sample.labels] == image.detections.names
        np.testing.assert_allclose(sample.boxes, image.detections.boxes.numpy(), atol=tolerance, rtol=0)


@settings(max_examples=10, deadline=None)
@given(images=found_images(PERSON))
def test_odgt_is_read_back_as_detections(images: list[FoundImage], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("odgt")
    images = [image._replace(below=Path(f"line\nof {image.below}")) for image in images]
    write(folder, "odgt", images)
    again = read_detections(folder / "detections.odgt", PERSON, [image.below.stem for image in images])
    for image in images:
        found = again[image.below.stem]
        assert torch.equal(found.boxes, image.detections.boxes.double())
        assert torch.equal(found.scores, image.detections.scores.double())
