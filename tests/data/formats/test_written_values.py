"""Whatever has one meaning is read as from the clean dataset and scores alike; all else is refused in a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.variants import IDS, UNCLEAR, UNDERSTOOD, clean, edit, name_of
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.coco import read_coco, scan_coco
from uncrowd.data.results.file import read_detections
from uncrowd.errors import InputError
from uncrowd.inference.evaluate import evaluate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clean dataset with two crowds, and with areas, in which all is written as in COCO."""

    def change(data: dict[str, Any]) -> None:
        for record in data["annotations"]:
            record |= {"iscrowd": int(record["id"] in (1, 4)), "area": 600}

    edit(clean(tmp_path / "data") / "annotations.json", change)
    return tmp_path / "data"


@pytest.fixture
def found(tmp_path: Path) -> Path:
    """Detections that match some boxes well and some badly."""
    records = [
        {"image_id": id, "category_id": 3 if id % 2 else 7, "bbox": [id + shift, 2, 30, 20], "score": 1 - id / 10}
        for id in IDS
        for shift in (id, 20)
    ]
    (tmp_path / "found.json").write_text(json.dumps(records))
    return tmp_path / "found.json"


def scores(found: Path, dataset: DetectionDataset) -> dict[str, float | None]:
    names = dataset.file_names.tolist()
    return evaluate(read_detections(found, dataset.categories, dataset.ids.tolist(), names), dataset).values


@pytest.mark.parametrize("variant", UNDERSTOOD)
def test_what_has_one_meaning_is_read_alike(folder, found, variant):
    before = read_coco(folder / "annotations.json")
    edit(folder / "annotations.json", UNDERSTOOD[variant])
    dataset, problems = scan_coco(folder / "annotations.json")
    for field in ("ids", "boxes", "labels", "ignore", "areas", "sizes", "offsets"):
        assert getattr(dataset, field).tolist() == getattr(before, field).tolist()
    assert dataset.categories == before.categories
    assert scores(found, dataset) == scores(found, before)
    assert {finding.severity for finding in problems.findings()} <= {"note", "warning"}


@pytest.mark.parametrize("variant", UNCLEAR)
def test_what_has_not_is_refused(folder, variant):
    change, sentence = UNCLEAR[variant]
    edit(folder / "annotations.json", change)
    with pytest.raises(InputError, match=sentence):
        read_coco(folder / "annotations.json")


DETECTIONS = {
    "image_id as text": lambda record: record | {"image_id": str(record["image_id"])},
    "image_id as a float": lambda record: record | {"image_id": float(record["image_id"])},
    "file names": lambda record: record | {"image_id": name_of(record["image_id"])},
    "stems": lambda record: record | {"image_id": name_of(record["image_id"]).removesuffix(".png")},
    "paths": lambda record: record | {"image_id": f"images/{name_of(record['image_id'])}"},
    "category_id as text": lambda record: record | {"category_id": str(record["category_id"])},
    "category_id as a float": lambda record: record | {"category_id": float(record["category_id"])},
}


@pytest.mark.parametrize("variant", DETECTIONS)
def test_detections_that_have_one_meaning_score_alike(folder, found, variant):
    dataset = read_coco(folder / "annotations.json")
    before = scores(found, dataset)
    assert before["AP"] not in (None, 0)
    found.write_text(json.dumps(list(map(DETECTIONS[variant], json.loads(found.read_text())))))
    assert scores(found, dataset) == before
