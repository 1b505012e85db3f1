"""A duplicate falls behind by every way, and only NMS takes a neighbour away."""

import json
from pathlib import Path

import pytest
from benchmarks.duplicates import main, ways

from uncrowd.data.formats.open import open_dataset
from uncrowd.data.synthetic.scenes import SceneConfig, write_dataset
from uncrowd.errors import InputError


def table(printed: str) -> dict[str, list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines()]
    return {name: cells for name, *cells in rows}


@pytest.fixture(scope="module")
def crowds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crowds")
    write_dataset(folder, "val", SceneConfig(size=(64, 96), objects=(4, 6), overlap=0.5, classes=("person",)), 8, 0)
    return folder


def test_ways_are_told_apart_by_duplicates_and_neighbours(
    crowds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    val = open_dataset(crowds).val
    assert val is not None
    results = []
    for sample in val:
        # Each object is found twice, and each duplicate scores higher than any other object but the first.
        for index, (x1, y1, x2, y2) in enumerate(sample.boxes.tolist()):
            for score in (0.9 - index / 100, 0.895 - index / 100):
                box = [x1, y1, x2 - x1, y2 - y1]
                results.append({"image_id": sample.id, "category_id": 1, "bbox": box, "score": score})
    found = tmp_path / "found.json"
    found.write_text(json.dumps(results))
    assert main([str(found), str(crowds)]) == 0
    rows = table(capsys.readouterr().out)
    assert list(rows)[2:] == list(ways())
    ap50 = {name: float(cells[1]) for name, cells in rows.items() if name in ways()}
    assert ap50["as they are"] < 90
    assert ap50["lowered, 3"] > 99
    assert ap50["NMS at 0.4"] < ap50["Soft-NMS"]
    assert ap50["NMS at 0.4"] < 90 < ap50["NMS at 0.8"]


def test_a_split_that_is_not_there_is_said(crowds: Path, tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text("[]")
    with pytest.raises(InputError, match="has no split test; choose another one with --split"):
        main([str(tmp_path / "found.json"), str(crowds), "--split", "test"])
