"""Both detectors are timed, as a whole and behind the pyramid."""

from dataclasses import replace
from typing import Literal

import pytest
from benchmarks.dense_queries import compared, main, name_of

from tests.tiny import TINY_MODEL
from uncrowd.models.sparse_rcnn import SparseRCNNConfig


def test_both_are_timed_in_each_round(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def tiny(recipe: Literal["paper", "small-data"]) -> tuple[SparseRCNNConfig, ...]:
        return tuple(replace(each, backbone=TINY_MODEL.backbone, stage=TINY_MODEL.stage) for each in compared(recipe))

    monkeypatch.setattr("benchmarks.dense_queries.compared", tiny)
    assert main(["--height", "64", "--width", "96", "--proposals", "10", "--rounds", "2"]) == 0
    printed = capsys.readouterr()
    whole, _, behind = printed.out.partition("behind the pyramid")
    names = ["learned queries, 6 stages", "dense queries, 2 stages"]
    for table in (whole, behind):
        rows = [line for line in table.splitlines() if line.startswith(tuple(names))]
        assert [line.split("  ")[0] for line in rows] == names
        assert rows[0].endswith("1.00 times (1.00 to 1.00)")
    assert printed.err.count("round 2: ") == 4


def test_the_recipe_is_compared_with_what_it_was_before() -> None:
    assert [name_of(each) for each in compared("small-data")] == [
        "learned queries, 4 stages",
        "dense queries, 2 stages",
    ]
