"""What is written in each format is read again as it was, by our own readers where there are any."""

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from uncrowd.data.formats.coco import read_coco
from uncrowd.data.results.csv_rows import writing_counts
from uncrowd.data.results.file import read_detections
from uncrowd.data.results.found import FoundImage
from uncrowd.data.results.predictions import writing_predictions
from uncrowd.data.results.written import ResultFormat, files_of, writing
from uncrowd.structures import Categories, Detections

CATEGORIES = Categories(ids=(3, 7), names=("person", "dog"))
HEIGHT, WIDTH = 60, 80
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def found(name: str, boxes: list[list[float]], categories: Categories = CATEGORIES) -> FoundImage:
    """The image `photos/NAME` with these boxes, of each class in turn."""
    n = len(boxes)
    detections = Detections(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor([0.9, 0.7, 0.5][:n]),
        labels=torch.arange(n) % len(categories),
        categories=categories,
    )
    below = Path(name)
    return FoundImage(
        file=Path("photos") / below,
        below=below,
        name=below.with_suffix(".jpg"),
        size=(HEIGHT, WIDTH),
        pixels=PIXELS,
        detections=detections,
        counts=detections.counts,
        annotated=False,
    )


IMAGES = [
    found("1.png", [[10.5, 20.25, 30, 40], [0, 0, 80, 60]]),
    found("empty.png", []),
    found("night/2.png", [[1, 2, 3, 4.5]]),
]


def write(folder: Path, format: ResultFormat, images: list[FoundImage] = IMAGES) -> None:
    with writing(format, folder, images[0].detections.categories) as add:
        for image in images:
            add(image)
    for file in files_of(format, [image.name for image in images]):
        assert (folder / file).exists(), "and an earlier one would not be overwritten silently"


def test_coco_is_a_dataset_that_our_reader_takes(tmp_path: Path) -> None:
    write(tmp_path, "coco")
    dataset = read_coco(tmp_path / "coco.json", images_needed=False)
    assert dataset.categories == CATEGORIES
    assert [sample.size for sample in dataset] == [(HEIGHT, WIDTH)] * 3
    assert dataset.file_names.tolist() == ["1.png", "empty.png", "night/2.png"]
    for sample, image in zip(dataset, IMAGES, strict=True):
        np.testing.assert_allclose(sample.boxes, image.detections.boxes.numpy())
        assert sample.labels.tolist() == image.detections.labels.tolist()
    content = json.loads((tmp_path / "coco.json").read_text())
    assert [record["segmentation"] for record in content["annotations"]] == [[], [], []], "so that boxes are taken"
    assert [record["id"] for record in content["annotations"]] == [1, 2, 3]
    assert content["annotations"][1]["score"] == pytest.approx(0.7)


def test_coco_without_any_detection_still_names_the_images(tmp_path: Path) -> None:
    write(tmp_path, "coco", [found("empty.png", [])])
    content = json.loads((tmp_path / "coco.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["empty.png"]
    assert content["annotations"] == []


def test_csv_has_a_row_for_each_detection(tmp_path: Path) -> None:
    write(tmp_path, "csv")
    with (tmp_path / "detections.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "image": "photos/1.png",
        "class": "person",
        "category_id": "3",
        "score": "0.9000",
        "x1": "10.50",
        "y1": "20.25",
        "x2": "30.00",
        "y2": "40.00",
    }
    assert [row["class"] for row in rows] == ["person", "dog", "person"]


def test_a_name_that_is_no_utf_8_is_escaped(tmp_path: Path) -> None:
    write(tmp_path, "csv", [found("\udce9.png", [[0, 0, 5, 5]])])
    write(tmp_path, "voc", [found("\udce9.png", [[0, 0, 5, 5]])])
    assert "photos/\\udce9.png,person," in (tmp_path / "detections.csv").read_text()
    assert "<filename>\\udce9.png</filename>" in (tmp_path / "voc" / "\udce9.xml").read_text()


def test_counts_have_a_row_for_each_image(tmp_path: Path) -> None:
    with writing_counts(tmp_path / "counts.csv", CATEGORIES.names) as add:
        for image in IMAGES:
            add(image)
    assert (tmp_path / "counts.csv").read_text().splitlines() == [
        "image,person,dog",
        "photos/1.png,1,1",
        "photos/empty.png,0,0",
        "photos/night/2.png,1,0",
    ]


def test_yolo_has_shares_of_the_image_and_scores(tmp_path: Path) -> None:
    write(tmp_path, "yolo")
    assert (tmp_path / "yolo/classes.txt").read_text() == "person\ndog\n"
    assert (tmp_path / "yolo/labels/empty.txt").read_text() == ""
    lines = [line.split() for line in (tmp_path / "yolo/labels/1.txt").read_text().splitlines()]
    assert [line[0] for line in lines] == ["0", "1"]
    numbers = np.array(lines, dtype=np.float64)
    centres, sides = numbers[:, 1:3] * [WIDTH, HEIGHT], numbers[:, 3:5] * [WIDTH, HEIGHT]
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    np.testing.assert_allclose(boxes, IMAGES[0].detections.boxes.numpy(), atol=1e-3)
    np.testing.assert_allclose(numbers[:, 5], [0.9, 0.7])


def test_voc_counts_pixels_from_1(tmp_path: Path) -> None:
    write(tmp_path, "voc")
    root = ElementTree.parse(tmp_path / "voc/night/2.xml").getroot()
    assert (root.findtext("filename"), root.findtext("size/width"), root.findtext("size/height")) == (
        "night/2.png",
        "80",
        "60",
    )
    (thing,) = root.findall("object")
    assert (thing.findtext("name"), thing.findtext("difficult"), thing.findtext("score")) == ("person", "0", "0.9000")
    corners = [thing.findtext(f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")]
    assert corners == ["2", "3", "3", "4"], "whole pixels, as VOC's readers expect"
    assert ElementTree.parse(tmp_path / "voc/empty.xml").getroot().findall("object") == []


def test_voc_keeps_thin_boxes_in_the_image(tmp_path: Path) -> None:
    thin = [[WIDTH - 0.3, 5, WIDTH, 9], [10.5625, 0, 10.625, 0.2]]
    write(tmp_path, "voc", [found("thin.png", thin)])
    boxes = ElementTree.parse(tmp_path / "voc/thin.xml").getroot().iter("bndbox")
    corners = [[int(each.text or 0) for each in box] for box in boxes]
    assert corners == [[WIDTH, 6, WIDTH, 9], [11, 1, 11, 1]]


def test_odgt_is_read_by_our_reader(tmp_path: Path) -> None:
    person = Categories(ids=(1,), names=("person",))
    images = [found(image.below.as_posix(), image.detections.boxes.tolist(), person) for image in IMAGES]
    write(tmp_path, "odgt", images)
    again = read_detections(tmp_path / "detections.odgt", person, ["1", "empty", "night/2"])
    for image in images:
        read = again[image.below.with_suffix("").as_posix()]
        assert torch.equal(read.boxes, image.detections.boxes.double())
        assert torch.equal(read.scores, image.detections.scores.double())


def test_crops_are_what_is_in_the_boxes(tmp_path: Path) -> None:
    odd = Categories(ids=(1,), names=("cat/dog",))
    write(tmp_path, "crops", [found("a/1.png", [[10.5, 20, 30, 40.2], [0, 0, 5, 5]], odd)])
    assert sorted(file.name for file in (tmp_path / "crops/a/1").iterdir()) == [
        "0001-cat-dog-0.90.jpg",
        "0002-cat-dog-0.70.jpg",
    ]
    with Image.open(tmp_path / "crops/a/1/0001-cat-dog-0.90.jpg") as crop:
        assert crop.size == (20, 21)  # of the pixels that the box touches
    write(tmp_path, "crops", [found("a/1.png", [[0, 0, 5, 5]], odd)])
    assert [file.name for file in (tmp_path / "crops/a/1").iterdir()] == ["0001-cat-dog-0.90.jpg"]


def test_an_interruption_leaves_whole_files(tmp_path: Path) -> None:
    """They hold the images before it."""

    def interrupted() -> None:
        with (
            writing_predictions(tmp_path / "detections.json") as first,
            writing("coco", tmp_path, CATEGORIES) as second,
            writing("csv", tmp_path, CATEGORIES) as third,
        ):
            for add in (first, second, third):
                add(IMAGES[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [record["image"] for record in json.loads((tmp_path / "detections.json").read_text())] == ["photos/1.png"]
    assert len(json.loads((tmp_path / "coco.json").read_text())["annotations"]) == 2
    assert len((tmp_path / "detections.csv").read_text().splitlines()) == 3
