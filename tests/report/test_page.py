"""The report of a run is one complete page that says what happened, also for short and broken runs."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from uncrowd.data.dataset import DetectionDataset
from uncrowd.errors import InputError
from uncrowd.evaluation.coco import CocoEvaluator
from uncrowd.evaluation.protocol import Scores
from uncrowd.report.page import percent, write_report
from uncrowd.structures import Categories, Detections, ImageId, Sample
from uncrowd.visualize.draw import PALETTE

CATEGORIES = Categories(ids=(1, 18), names=("person", "dog <small>"))
SIZE = (60, 80)


def make_dataset(folder: Path, images: int = 4) -> DetectionDataset:
    """Returns grey images; image i has i + 1 objects in a row, people and dogs in turn."""
    samples = []
    for i in range(images):
        path = folder / f"{i:03d}.png"
        Image.new("RGB", (SIZE[1], SIZE[0]), (90, 90, 90)).save(path)
        n = i + 1
        left = 2.0 + 15 * np.arange(n)
        boxes = np.stack([left, np.full(n, 10.0), left + 10, np.full(n, 50.0)], axis=1)
        samples.append(
            Sample(
                id=i,
                path=path,
                size=SIZE,
                boxes=boxes,
                labels=np.arange(n) % 2,
                ignore=np.zeros(n, dtype=bool),
                areas=np.full(n, 400.0),
            )
        )
    return DetectionDataset.from_samples(samples, source=folder, split="val", categories=CATEGORIES, folder=folder)


def detect_first(dataset: DetectionDataset, missed: int = 0) -> dict[ImageId, Detections]:
    """Returns the exact boxes of all but the last `missed` objects of each image, with a score of 0.9."""
    found = {}
    for sample in dataset:
        n = max(len(sample.boxes) - missed, 0)
        found[sample.id] = Detections(
            boxes=torch.from_numpy(sample.boxes[:n]).float(),
            scores=torch.full((n,), 0.9),
            labels=torch.from_numpy(sample.labels[:n]),
            categories=CATEGORIES,
        )
    return found


def train_row(step: int, **values: float | None) -> dict[str, Any]:
    names = ("loss", "class", "l1", "giou", "gradient_norm", "learning_rate", "images_per_second", "waiting_for_data")
    row = {"kind": "train", "step": step, "epoch": step / 10, "time": 1.7e9 + 30 * step}
    return row | dict.fromkeys(names, 1 / step) | values


def eval_row(epoch: int, ap: float | None) -> dict[str, Any]:
    return {"kind": "eval", "step": 10 * epoch, "epoch": epoch, "AP": ap, "AP50": ap, "time": 1.7e9 + 300 * epoch}


def report(folder: Path, dataset: DetectionDataset, detections, rows: list[dict[str, Any]] | None = None) -> str:
    folder.mkdir(exist_ok=True)
    if rows is not None:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scores = CocoEvaluator().evaluate(dataset, detections, CATEGORIES)
    path = write_report(folder, dataset, detections, scores, {"Device": "CPU"})
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Checks that tags nest, and collects ids, addresses, words and images."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "srcset", "xlink:href"):
                self.addresses.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "img", "br"):
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def images(self) -> list[np.ndarray]:
        coded = [
            address.partition(";base64,")[2] for address in self.addresses if address.startswith("data:image/webp")
        ]
        return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))).astype(int) for each in coded]


def shows(image: np.ndarray, colour: int) -> bool:
    return bool((abs(image - np.array(PALETTE[colour])).max(axis=-1) < 40).sum() > 50)


FINISHED = [
    {"kind": "begin", "step": 0, "start": "random values", "command": "uncrowd train --data d", "time": 1.7e9 - 60},
    *(train_row(step) for step in range(1, 31)),
    eval_row(1, 0.102),
    eval_row(2, 0.5),
    eval_row(3, 0.4),
]


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    html = report(tmp_path / "run", dataset, detect_first(dataset, 1), FINISHED)
    page = Page(html)
    own = [address for address in page.addresses if address.startswith("#")]
    assert [a for a in page.addresses if not a.startswith(("#", "data:image/webp;base64,"))] == []
    assert {address[1:] for address in own} <= {*page.ids, "configuration"}
    assert "url(http" not in html
    assert "@import" not in html
    assert "<script" not in html
    assert len(html) < 1_000_000


def test_the_page_says_how_the_run_went(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"data": "<d>"}')
    text = Page(report(tmp_path / "run", dataset, detect_first(dataset, 1), FINISHED)).text
    assert "AP went from 10.2 after epoch 1 to 40.0 after epoch 3; the best was 50.0 after epoch 2" in text
    assert "Started from random values Command uncrowd train --data d" in text
    assert "30 steps, 3 epochs" in text
    assert "16 min" in text  # from the first row to the last
    assert "Device CPU" in text
    assert '{"data": "<d>"}' in text
    assert "dog <small>" in text  # escaped in the page, or it would not be text
    for title in ("Loss, all stages together", "Learning rate", "Gradient norm", "waiting for data", "Recall"):
        assert title.lower() in text.lower()


def test_the_page_names_a_threshold_to_find_and_one_to_count(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    text = Page(report(tmp_path / "run", dataset, detect_first(dataset, 1), FINISHED)).text
    assert "Keep detections with a score of at least 0.451 " in text
    assert "To count, keep those of at least 0.451 : the number of detections in an image then differs" in text
    assert "by 40.0 % of the objects" in text  # one of each image is missed, 4 of 10


def test_an_older_log_is_read_under_its_old_key(tmp_path: Path) -> None:
    """An earlier version logged `pictures_per_second`; such a run may have been resumed by this version."""
    dataset = make_dataset(tmp_path)
    today = report(tmp_path / "run", dataset, detect_first(dataset), FINISHED)
    earlier = [{name.replace("images_", "pictures_"): value for name, value in row.items()} for row in FINISHED[:20]]
    assert "pictures_per_second" in earlier[-1]
    assert report(tmp_path / "run", dataset, detect_first(dataset), [*earlier, *FINISHED[20:]]) == today
    assert "0.0646 images a second (median)" in today


def test_worst_and_best_images_stand_beside_their_ground_truth(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    right, missed, wrong = 1, 0, 2
    page = Page(report(tmp_path / "run", dataset, detect_first(dataset, 1)))
    # Each image has one missed object, of one, two, three or four: the first has F1 0, the last the highest F1.
    shown = re.findall(r"(\d\d\d\.png) (\d) found (\d) wrong (\d) missed", page.text)
    assert shown == [
        ("000.png", "0", "0", "1"),
        ("001.png", "1", "0", "1"),
        ("003.png", "3", "0", "1"),
        ("002.png", "2", "0", "1"),
    ]
    assert len(page.images) == 8
    detections, truth = page.images[:2]
    assert not shows(detections, right)
    assert shows(truth, missed)
    detections, truth = page.images[4:6]
    assert shows(detections, right)
    assert not shows(detections, wrong)
    assert shows(truth, right)
    assert shows(truth, missed)


def test_large_images_are_reduced_with_their_boxes(tmp_path: Path) -> None:
    Image.new("RGB", (2400, 1600)).save(tmp_path / "large.png")
    box = np.array([[600.0, 400, 1200, 1200]])
    sample = Sample(
        id="large",
        path=tmp_path / "large.png",
        size=(1600, 2400),
        boxes=box,
        labels=np.zeros(1, np.int64),
        ignore=np.zeros(1, bool),
        areas=np.array([480_000.0]),
    )
    dataset = DetectionDataset.from_samples(
        [sample], source=tmp_path, split="val", categories=CATEGORIES, folder=tmp_path
    )
    _, truth = Page(report(tmp_path / "run", dataset, detect_first(dataset))).images
    assert max(truth.shape) == 800
    rows, columns = np.nonzero(truth.max(axis=-1) > 100)
    assert [columns.min(), columns.max(), rows.max()] == pytest.approx([200, 400, 400], abs=4)


def test_unreadable_images_are_left_out_and_counted(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    (tmp_path / "000.png").write_bytes(b"no image")
    (tmp_path / "001.png").unlink()
    page = Page(report(tmp_path / "run", dataset, detect_first(dataset, 1)))
    assert "2 images could not be read and are left out" in page.text
    assert f"{tmp_path / '000.png'} cannot be read as an image" in page.text
    assert len(page.images) == 4


@pytest.mark.parametrize(
    "rows",
    [
        None,
        [],
        [train_row(1)],
        [train_row(1, loss=None, gradient_norm=None)],
        [train_row(1), eval_row(1, None)],
        [train_row(1), eval_row(1, 0.3)],
    ],
    ids=["no log", "empty log", "one step", "not finite", "undefined score", "one evaluation"],
)
def test_short_runs_have_a_page(tmp_path: Path, rows: list[dict[str, Any]] | None) -> None:
    dataset = make_dataset(tmp_path, images=2)
    page = Page(report(tmp_path / "run", dataset, detect_first(dataset), rows))
    assert "No image has a mistake" in page.text
    assert ("This run logged no training steps" in page.text) == (not rows)
    assert len(page.images) == 2  # the better half
    assert "nan" not in page.text.lower().split()


def test_a_model_that_finds_nothing_has_a_page(tmp_path: Path) -> None:
    page = Page(report(tmp_path / "run", make_dataset(tmp_path, images=2), {}))
    assert "so no threshold can be suggested" in page.text
    assert len(page.images) == 2


def test_images_above_the_limit_are_left_out(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, images=2)
    scores = Scores(headline="AP", values={"AP": None}, per_class={}, meanings={"AP": "how well"})
    page = Page(write_report(tmp_path, dataset, {}, scores, {}, max_pixels=10).read_text(encoding="utf-8"))
    assert "the image has more than 10 pixels" in page.text
    assert not page.images


def test_a_dataset_without_images_or_boxes_has_a_page(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, images=1).subset([])
    assert "scored on 0 images" in Page(report(tmp_path / "run", dataset, {}, FINISHED)).text


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, images=1)
    scores = Scores(headline="AP", values={"AP": None}, per_class={}, meanings={"AP": "how well"})
    (tmp_path / "report.html").mkdir()  # no file can be moved there
    with pytest.raises(InputError, match=r"report\.html cannot be written"):
        write_report(tmp_path, dataset, {}, scores, {})
    assert (tmp_path / "report.html").is_dir()
    assert not list(tmp_path.glob(".report*"))


@pytest.mark.parametrize(
    ("share", "shown"), [(0.4567, "45.7"), (1.0, "100.0"), (0.0, "0.0"), (None, "-"), (float("nan"), "-")]
)
def test_shares_are_shown_in_percent(share: float | None, shown: str) -> None:
    assert percent(share) == shown
