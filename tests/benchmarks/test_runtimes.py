"""The benchmark of runtimes compares weights with what was exported from them."""

import json
import re
from pathlib import Path

import pytest
from benchmarks.runtimes import main

from tests.exported import Exported


def test_a_table_and_a_line_of_json(exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--height", "48", "--width", "64", "--rounds", "2", "--bf16"]
    files = [str(exported.weights), str(exported.onnx)]
    assert main([*files, *size, "--append", str(tmp_path / "timings.jsonl")]) == 0
    printed = capsys.readouterr().out
    assert "one image of 48 x 64, 2 rounds of 1" in printed
    for name, ratio in {
        files[0]: r"1\.00 times",
        files[1]: r"\d+\.\d\d times",
        f"{files[0]}, bf16": r"\d+\.\d\d ",
    }.items():
        assert re.search(rf"^{re.escape(name)} +\d+\.\d+   {ratio}", printed, re.MULTILINE)
    (record,) = map(json.loads, (tmp_path / "timings.jsonl").read_text().splitlines())
    assert len(record[files[1]]) == 2
    with pytest.raises(SystemExit, match="2"):
        main([files[0]])
    assert "One file is compared with nothing; give two or more" in " ".join(capsys.readouterr().err.split())
