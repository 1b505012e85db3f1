"""The learning rate of a peer is the one with the highest AP on the validation split, once all were tried."""

from dataclasses import replace
from typing import Any

import pytest
from benchmarks.claims.datasets import DrawnCrowds
from benchmarks.claims.ours import ADAMW_RATES, OurDetector
from benchmarks.claims.rates import needs, rate_lines, with_chosen_rate
from benchmarks.claims.settings import SHORT, Line
from benchmarks.claims.torchvision_peers import TorchvisionDetector

from uncrowd.errors import InputError

FCOS = TorchvisionDetector(kind="fcos")
LINE = Line(dataset=DrawnCrowds(overlap=0.3), detector=FCOS, budget=SHORT, seed=2)
NAMES = [f"drawn-0.5_fcos-1_rates_0_{rate:g}" for rate in ADAMW_RATES]


def recorded(*scores: float | None) -> dict[str, Any]:
    return {
        name: {"learning_rate": rate, "evaluations": [{"AP": 0.9}, {"AP": score}]}
        for name, rate, score in zip(NAMES, ADAMW_RATES, scores, strict=False)
    }


def test_a_line_waits_for_those_that_try_its_rates() -> None:
    assert [line.name for line in rate_lines(FCOS)] == NAMES == needs(LINE)
    assert all(needs(line) == [] for line in rate_lines(FCOS))
    with pytest.raises(InputError, match=r"drawn-0\.3_fcos-1_short_2 needs a learning rate; run .*_0\.0008 first"):
        with_chosen_rate(LINE, recorded(0.1, 0.2))


def test_the_last_evaluation_decides() -> None:
    assert with_chosen_rate(LINE, recorded(None, 0.2, 0.1)).learning_rate == 4e-4
    assert with_chosen_rate(replace(LINE, rate=2e-4), {}).learning_rate == 2e-4


def test_our_rate_is_frozen_and_others_are_only_reported() -> None:
    ours = OurDetector(attention="iou", interaction="dcw")
    line = replace(LINE, detector=ours)
    assert needs(line) == []
    assert with_chosen_rate(line, {}) is ours
    tried = ours.with_rate(2e-4)
    assert (tried.learning_rate, tried.name) == (2e-4, ours.name)
