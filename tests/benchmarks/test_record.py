"""Unusable arguments are refused before anything is timed."""

from pathlib import Path

import pytest

from benchmarks import data, growth, inference, roofline, scoring, training
from uncrowd.errors import InputError


@pytest.mark.parametrize("benchmark", [data, growth, inference, roofline, scoring, training])
def test_a_file_that_cannot_be_written_is_refused(benchmark, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--append .*/nowhere/a\.jsonl cannot be written: No such file or directory"):
        benchmark.Arguments(append=tmp_path / "nowhere" / "a.jsonl")


@pytest.mark.parametrize(
    ("benchmark", "flag"),
    [(growth, "lines"), (roofline, "precisions"), (scoring, "protocols"), (training, "precisions")],
)
def test_nothing_to_time_is_refused(benchmark, flag: str) -> None:
    with pytest.raises(InputError, match=f"--{flag} is empty"):
        benchmark.Arguments(**{flag: ()})
