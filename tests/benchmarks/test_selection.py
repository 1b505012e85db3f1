"""The rules that choose queries are held to a pair of objects and its duplicate, whose answers are plain."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.selection import ANY_CLASS, left_out, main, rules

from tests.tiny import SCENES, TINY_MODEL
from uncrowd.data.synthetic.scenes import write_dataset
from uncrowd.data.transforms import ResizeConfig
from uncrowd.errors import InputError
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.structures import Categories, Detections, Sample
from uncrowd.weights.file import save_weights

# A pair with IoU .78, a duplicate of the left one with IoU .95, and an object that overlaps none.
LEFT, LEFT_AGAIN, RIGHT, ALONE = (0, 0, 40, 10), (1, 0, 41, 10), (5, 0, 45, 10), (80, 0, 90, 10)


def test_each_rule_misses_what_it_must() -> None:
    truth = np.array([LEFT, RIGHT, ALONE], dtype=np.float64)
    sample = Sample(
        id=0,
        path=Path("0.jpg"),
        size=(100, 100),
        boxes=truth,
        labels=np.array([0, 1, 2]),
        ignore=np.zeros(3, dtype=bool),
        areas=np.ones(3),
    )
    points = Detections(
        boxes=torch.tensor([LEFT, LEFT_AGAIN, RIGHT, ALONE], dtype=torch.float32),
        scores=torch.tensor([0.9, 0.85, 0.8, 0.3]),
        labels=torch.zeros(4, dtype=torch.int64),
        categories=ANY_CLASS,
    )
    missed = {name: left_out([sample], {0: points}, rule) for name, rule in rules(3, candidates=100).items()}
    # Intervals: none, to .3, to .5, to .7, above.
    assert {name: (intervals.tolist(), used) for name, (intervals, used) in missed.items()} == {
        "ranked by overlap": ([0, 0, 0, 0, 0], 3),
        "NMS at .7": ([0, 0, 0, 0, 1], 2),
        "NMS at .85": ([0, 0, 0, 0, 0], 3),
        "best scores": ([1, 0, 0, 0, 0], 3),
    }


def test_a_table_of_a_trained_detector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(tmp_path / "data", "val", SCENES, 3, seed=0)
    three = Categories(ids=(1, 2, 3), names=("a", "b", "c"))
    resize = ResizeConfig(short_side=64, max_size=96)
    for queries in ("dense", "learned"):
        save_weights(
            tmp_path / f"{queries}.safetensors", SparseRCNN(replace(TINY_MODEL, queries=queries)), three, resize
        )
    assert main([str(tmp_path / "dense.safetensors"), str(tmp_path / "data"), "--proposals", "5", "500"]) == 0
    tables = capsys.readouterr().out.split("\n\n")
    assert "5 queries" in tables[1]
    rows = {line[:18].strip(): line[18:].split() for line in tables[2].splitlines()[2:]}
    # 500 queries are more than the 126 points that compete, so nothing is left to choose.
    assert rows["ranked by overlap"] == rows["best scores"]
    assert rows["best scores"][0] == "126.0"
    with pytest.raises(InputError, match="has learned queries"):
        main([str(tmp_path / "learned.safetensors"), str(tmp_path / "data")])
