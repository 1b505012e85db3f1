"""The benchmark runs at toy size with every detector and every part of a step, and writes a line of JSON."""

import json
from pathlib import Path

import pytest
import torch
from benchmarks.memory import peak_on_host
from benchmarks.training import FASTER_RCNN, TWIN, main
from benchmarks.training_parts import DATA, STEP_PARTS

TOY = ["--height", "64", "--width", "96", "--backbone", "resnet10t", "--stages", "1", "--proposals", "10"]
TOY += ["--stage.width", "32", "--stage.heads", "4", "--stage.dynamic-width", "8", "--stage.feedforward-width", "64"]
DETECTORS = {"ours, 10 proposals", TWIN, "Sparse R-CNN", FASTER_RCNN}


def test_a_table_and_a_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "timings.jsonl"
    flags = ["--batch-size", "1", "--rounds", "1", "--precisions", "fp32"]
    assert main([*TOY, *flags, "--append", str(file)]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in DETECTORS)
    assert printed.count("1.00 times (1.00 to 1.00)") >= 2  # of each reference with itself
    (record,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert {"commit", "machine", "device", "threads", "height", "batch_size", "objects"} <= record.keys()
    (seconds,) = record["seconds"].values()
    assert seconds.keys() == record["losses"]["fp32"].keys() == record["bytes"]["fp32"].keys() == DETECTORS
    assert all(len(times) == 1 and min(times) > 0 for times in seconds.values())
    losses = record["losses"]["fp32"]
    assert losses["ours, 10 proposals"] == pytest.approx(losses[TWIN], rel=1e-3), "both are the same model"
    assert all(bytes_ is None or bytes_ > 2**26 for bytes_ in record["bytes"]["fp32"].values())


def test_mixed_precision_and_loaded_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "timings.jsonl"
    flags = ["--batch-size", "1", "--rounds", "1", "--precisions", "fp32", "bf16", "--workers", "0", "--no-memory"]
    assert main([*TOY, *flags, "--append", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "our step in bf16, part by part" in printed
    assert (
        printed.count(f"as fast as {TWIN} in fp32") == 1
    )  # only for bf16, because for fp32 it would be the same column twice
    record = json.loads(file.read_text())
    assert record["seconds"]["bf16"].keys() == DETECTORS | {"ours, 10 proposals, fed by 0 workers"}
    (parts,) = record["parts"]["bf16"]
    assert parts.keys() == set(STEP_PARTS)
    assert parts[DATA] > 0


def test_memory_is_that_of_the_call_alone() -> None:
    kept = torch.ones(50_000_000)
    taken = peak_on_host(torch.ones, 25_000_000)
    assert taken is None or taken == pytest.approx(1e8, rel=0.1)
    assert len(kept)
