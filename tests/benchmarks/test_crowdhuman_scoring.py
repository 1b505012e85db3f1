"""The benchmark runs, finds what its twin finds, and leaves a line that says what was timed where."""

import json
from pathlib import Path

import pytest
from benchmarks.crowdhuman_scoring import main


def test_a_table_and_a_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "timings.jsonl"
    for seed in ("0", "1"):
        flags = ["--pictures", "3", "--detections", "40", "--twin-pictures", "2", "--seed", seed]
        assert main([*flags, "--append", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "120 detections, which score" in printed
    assert "the twin takes" in printed
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [record["seed"] for record in records] == [0, 1]
    assert {"commit", "machine", "pictures", "detections"} <= records[0].keys()
    assert records[0]["seconds"].keys() == {"reading", "curve", "jaccard_index", "few", "few_by_twin"}


def test_without_the_twin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pictures", "2", "--detections", "10", "--twin-pictures", "0"]) == 0
    assert "twin" not in capsys.readouterr().out
