"""Both detectors are timed, as a whole and behind the pyramid."""

from functools import partial

import pytest
from benchmarks.dense_queries import DENSE, LEARNED, main

from tests.tiny import TINY_MODEL
from uncrowd.models.sparse_rcnn import SparseRCNNConfig


def test_both_are_timed_in_each_round(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = partial(SparseRCNNConfig, backbone=TINY_MODEL.backbone, stage=TINY_MODEL.stage)
    monkeypatch.setattr("benchmarks.dense_queries.SparseRCNNConfig", tiny)
    assert main(["--height", "64", "--width", "96", "--proposals", "10", "--rounds", "2"]) == 0
    printed = capsys.readouterr()
    whole, _, behind = printed.out.partition("behind the pyramid")
    for table in (whole, behind):
        rows = [line for line in table.splitlines() if line.startswith((LEARNED, DENSE))]
        assert [line.split("  ")[0] for line in rows] == [LEARNED, DENSE]
        assert rows[0].endswith("1.00 times (1.00 to 1.00)")
    assert printed.err.count("round 2: ") == 4
