"""A place for results that cannot be written is refused before anything is timed."""

from pathlib import Path

import pytest

from benchmarks import data, growth, inference, roofline, scoring, training
from uncrowd.errors import InputError


@pytest.mark.parametrize("benchmark", [data, growth, inference, roofline, scoring, training])
def test_it_is_said_at_once(benchmark, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--append .*/nowhere/a\.jsonl cannot be written: No such file or directory"):
        benchmark.Arguments(append=tmp_path / "nowhere" / "a.jsonl")


@pytest.mark.parametrize(
    ("benchmark", "flag"),
    [(growth, "lines"), (roofline, "precisions"), (scoring, "protocols"), (training, "precisions")],
)
def test_nothing_to_do_is_said(benchmark, flag: str) -> None:
    with pytest.raises(InputError, match=f"--{flag} is empty"):
        benchmark.Arguments(**{flag: ()})
