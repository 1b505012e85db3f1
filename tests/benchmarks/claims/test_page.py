"""The page is written from made-up lines and detections, and says what is missing."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.claims.datasets import DrawnCrowds
from benchmarks.claims.effects import CORNERS
from benchmarks.claims.kept import read_kept, write_kept
from benchmarks.claims.lines import all_lines
from benchmarks.claims.page import Tables, filled, write_page
from benchmarks.claims.run import Places, score
from benchmarks.claims.settings import SHORT, Line
from benchmarks.claims.speed import step_factors

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.errors import InputError
from uncrowd.structures import Detections

CROWDS = DrawnCrowds(overlap=0.5, size=(64, 96), objects=(3, 4), train=1, val=1, test=4)
PAGE, QUERIES = (Path(__file__).parents[3] / "docs" / "results" / name for name in ("claims.md", "queries.md"))
SEEDS = (0, 1)


def lines() -> list[Line]:
    """Returns the four corners with two seeds, on tiny images."""
    corners = {line.detector.name: line for line in all_lines() if line.detector.name in CORNERS}
    return [
        Line(dataset=CROWDS, detector=line.detector, budget=SHORT, seed=seed)
        for seed in SEEDS
        for line in corners.values()
    ]


def found_in(test: DetectionDataset, missed: int, shift: float) -> dict[Any, Detections]:
    """Returns detections that miss the first objects of each image, and are `shift` pixels off."""
    found = {}
    for sample in test:
        boxes = torch.from_numpy(sample.boxes[missed:] + shift).float()
        found[sample.id] = Detections(
            boxes=boxes,
            scores=torch.linspace(0.9, 0.6, len(boxes)),
            labels=torch.zeros(len(boxes), dtype=torch.int64),
            categories=test.categories,
        )
    return found


def record(places: Places, line: Line, test: DetectionDataset, last: float, name: str | None = None) -> dict[str, Any]:
    kept = read_kept(places.detections(line), test.categories)
    rows = [{"images": images, "AP": last * share} for images, share in ((4000, 0.5), (8000, 1.0))]
    return {
        "name": name or line.name,
        "detector": {"attention": "iou"} if name is None else {"kind": "another"},
        "budget": {"steps": 1000},
        "commit": "abc1234",
        "machine": "a machine",
        "seconds": 600.0,
        "threshold": 0.5,
        "evaluations": rows,
        "test": score(test, kept),
    }


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Where four lines of each seed are done; the full method finds all objects, the others miss one of each image."""
    folder = tmp_path_factory.mktemp("claims")
    places = Places(work=folder / "work", results=folder / "results")
    test = open_dataset(CROWDS.write(places.work / "data")).test
    assert test is not None
    records = []
    for line in lines():
        full = line.detector.name == CORNERS[-1]
        write_kept(
            places.detections(line), found_in(test, missed=0 if full else 1, shift=0.0 if full else 0.5), best=100
        )
        records.append(record(places, line, test, last=0.8 if full else 0.4))
    places.lines.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    return places


def written(places: Places, folder: Path, queue: list[Line]) -> str:
    page, queries = folder / PAGE.name, folder / QUERIES.name
    for copy, original in ((page, PAGE), (queries, QUERIES)):
        copy.write_text(original.read_text(encoding="utf-8"), encoding="utf-8")
    write_page(Tables(page=page, queries=queries, resamples=100, places=places), queue)
    return page.read_text(encoding="utf-8")


def block(text: str, name: str) -> str:
    found = re.search(f"<!-- {name} -->(.*)<!-- end of {name} -->", text, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_page_has_the_numbers_of_the_lines(places: Places, tmp_path: Path) -> None:
    text = written(places, tmp_path, lines())
    scores = block(text, "scores")
    first = json.loads(places.lines.read_text().splitlines()[0])["test"]["coco"]["AP"]
    ap = f"{100 * first:.1f}"
    assert "| score | Sparse R-CNN (2 seeds) | + DCW (2 seeds) | + IoU-ESA (2 seeds) |" in scores
    assert f"| AP | {ap} | {ap} | {ap} | 100.0 |" in scores
    assert "| overlapped > .5 found, IoU .5 | - | - | - | - |" in scores, "a share of fewer than 100 objects"
    both = 100 * (1 - first)
    assert f"Both together: AP +{both:.1f} (" in block(text, "answer 1")
    assert "a gain" in block(text, "answer 1")
    assert f"| AP | +{both / 2:.1f} (" in block(text, "effects")
    assert "after 50 % of its images (50 % to 50 % over 2 seeds)" in block(text, "answer 2")
    assert "`drawn-0.5_small-data-1-iou-dcw_short_` 0, 1" in scores
    assert "8 of 8 lines done" in block(text, "lines")
    assert f"| Sparse R-CNN, as it is | 2 | {ap} |" in block(text, "lowered")
    assert "| Sparse R-CNN, lowered | 2 |" in block(text, "lowered")
    assert "| Sparse R-CNN, Soft-NMS | 2 |" in block(text, "lowered")
    assert "Not yet run" in block(text, "peers")
    images = re.findall(r"!\[.*?\]\((claims_.*?)\)", text)
    assert {Path(name).suffix for name in images} == {".svg", ".jpg"}
    assert all((tmp_path / name).stat().st_size > 1000 for name in images)


def test_an_empty_page_says_what_is_not_yet_run_and_loses_nothing_else(tmp_path: Path) -> None:
    text = written(Places(work=tmp_path, results=tmp_path), tmp_path, lines())
    for name in (
        "answer 1",
        "answer 2",
        "answer 3",
        "scores",
        "effects",
        "learning",
        "overlapped",
        "lowered",
        "peers",
        "speed",
    ):
        assert block(text, name).strip() == "*Not yet run.*"
    queries = (tmp_path / QUERIES.name).read_text(encoding="utf-8")
    assert block(queries, "learning").strip() == "*Not yet run.*"
    assert "| open |" in block(queries, "decision")
    assert "holds" not in block(queries, "decision")
    assert "0 of 8 lines done" in block(text, "lines")
    assert "\n- `drawn-0.5_small-data-1-content-entangled_short_` 0, 1\n" in block(text, "lines")

    def without_blocks(page: str) -> str:
        return re.sub(r"(<!-- [\w ]+ -->).*?(<!-- end of)", r"\1\2", page, flags=re.DOTALL)

    assert without_blocks(text) == without_blocks(PAGE.read_text(encoding="utf-8"))


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    assert (
        filled("<!-- a -->old<!-- end of a -->", {"a": r"new \1"}, "page")
        == "<!-- a -->\n\nnew \\1\n\n<!-- end of a -->"
    )
    with pytest.raises(InputError, match="page has no place for b; add the lines <!-- b --> and <!-- end of b -->"):
        filled("<!-- a --><!-- end of a -->", {"b": ""}, "page")


def test_the_corners_are_lines_of_the_queue() -> None:
    assert set(CORNERS) <= {line.detector.name for line in all_lines()}


def test_a_step_is_compared_with_the_baseline_of_its_round() -> None:
    seconds = {CORNERS[0]: [1.0, 2.0, 1.0], CORNERS[3]: [1.5, 2.0, 2.0]}
    assert step_factors({"seconds": {"training step": seconds}}) == {CORNERS[0]: 1.0, CORNERS[3]: 1.5}
    assert step_factors(None) == {}
    assert np.isfinite(list(step_factors({"seconds": {"training step": seconds}}).values())).all()
