"""The benchmark runs at toy size, and compares every detector with the reference in every round."""

import json
from pathlib import Path

import pytest
from benchmarks.inference import REFERENCE, main


def test_a_table_and_a_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "timings.jsonl"
    flags = ["--height", "64", "--width", "64", "--rounds", "2", "--backbone", "test_efficientnet"]
    flags += ["--stages", "1", "--proposals", "10", "20"]
    assert main([*flags, "--append", str(file)]) == 0
    printed = capsys.readouterr().out
    assert REFERENCE in printed
    assert "1.00 times (1.00 to 1.00)" in printed
    (record,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert {"commit", "machine", "height", "width", "threads"} <= record.keys()
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in record["seconds"].values())
    assert {"ours, 10 proposals", "ours, 20 proposals", "DETR", REFERENCE} <= record["seconds"].keys()
