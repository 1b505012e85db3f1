"""The page says what goes wrong, with one class and with many, with and without detections."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.report.test_page import Page, detect_first, make_dataset, report
from uncrowd.evaluation.analysis.errors import analyse_errors
from uncrowd.evaluation.crowdhuman import CrowdHumanEvaluator
from uncrowd.report.errors import MOST_PAIRS, error_section
from uncrowd.report.page import write_report
from uncrowd.structures import Categories, Detections, ImageId, Sample


def test_the_page_says_what_goes_wrong(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    html = report(tmp_path / "run", dataset, detect_first(dataset, 1))
    page = Page(html)
    assert "errors" in page.ids
    assert "badly placed" in page.text
    assert "no overlap 10 60 % 0" in page.text
    assert "Precision over recall IoU 0.5: AP" in page.text
    assert "Which class is taken for which" in page.text
    assert "expected calibration error" in page.text
    assert html.count("<svg") >= 3
    assert "nan" not in page.text.lower().split()


def test_a_class_taken_for_another_stands_in_the_matrix(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    found = {id: replace(each, labels=torch.zeros_like(each.labels)) for id, each in detect_first(dataset).items()}
    text = Page(report(tmp_path / "run", dataset, found)).text
    # Of the ten objects, the four dogs were taken for persons.
    assert "Object is person dog <small> not found person 6 0 0 dog <small> 4 0 0 no object 0 0" in text


@pytest.mark.parametrize("found", [{}, None], ids=["nothing found", "no detections"])
def test_a_page_without_detections_has_the_section(tmp_path: Path, found: dict[ImageId, Detections] | None) -> None:
    dataset = make_dataset(tmp_path, images=2)
    if found is None:
        found = detect_first(dataset, missed=9)
    text = Page(report(tmp_path / "run", dataset, found)).text
    assert "What goes wrong" in text
    assert "No detection reaches the threshold" in text


def test_a_crowd_of_one_class_has_a_page(tmp_path: Path) -> None:
    one = Categories(ids=(1,), names=("person",))
    dataset = make_dataset(tmp_path)
    dataset = replace(dataset, categories=one, labels=np.zeros_like(dataset.labels), protocol="crowdhuman")
    found = {
        id: replace(each, labels=torch.zeros_like(each.labels), categories=one)
        for id, each in detect_first(dataset, 1).items()
    }
    scores = CrowdHumanEvaluator().evaluate(dataset, found, one)
    text = Page(write_report(tmp_path, dataset, found, scores, {}).read_text(encoding="utf-8")).text
    assert "missed 4 39.6" in text
    assert "wrong class" not in text
    assert "taken for" not in text


def many_classes(n: int) -> tuple[list[Sample], dict[ImageId, Detections], Categories]:
    """Returns an image with an object of each class, each detected as the next class."""
    categories = Categories(ids=tuple(range(n)), names=tuple(f"class {i}" for i in range(n)))
    left = 20.0 * np.arange(n)
    boxes = np.stack([left, np.zeros(n), left + 10, np.full(n, 10.0)], axis=1)
    sample = Sample(
        id=1,
        path=Path("unused.jpg"),
        size=(10, 20 * n),
        boxes=boxes,
        labels=np.arange(n),
        ignore=np.zeros(n, dtype=bool),
        areas=np.full(n, 100.0),
    )
    found = Detections(
        boxes=torch.from_numpy(boxes),
        scores=torch.full((n,), 0.9, dtype=torch.float64),
        labels=torch.from_numpy((np.arange(n) + 1) % n),
        categories=categories,
    )
    return [sample], {1: found}, categories


@pytest.mark.parametrize(("classes", "rows", "pairs"), [(1, 0, 0), (3, 4, 3), (80, 0, MOST_PAIRS)])
def test_with_many_classes_only_the_worst_pairs_are_shown(classes: int, rows: int, pairs: int) -> None:
    samples, found, categories = many_classes(classes)
    section = error_section(analyse_errors(samples, found, categories, threshold=0.5))
    assert (len(section.matrix), len(section.pairs)) == (rows, pairs)
    assert not re.search(r'id="', section.curves.svg.partition("<defs>")[0])
