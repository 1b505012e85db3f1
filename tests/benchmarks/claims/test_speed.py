"""Detectors are timed in turns, and the last measurement of the file counts."""

from pathlib import Path

import pytest
from benchmarks.claims.datasets import DrawnCrowds
from benchmarks.claims.ours import OurDetector
from benchmarks.claims.run import Places
from benchmarks.claims.settings import Budget, Detector, Line
from benchmarks.claims.speed import SPEED, Speed, last_speed, measure, speed_table
from benchmarks.claims.torchvision_peers import TorchvisionDetector

from tests.tiny import tiny_experiment
from uncrowd.errors import InputError

DETECTORS: list[Detector] = [
    OurDetector(attention="content", interaction="entangled", recipe=tiny_experiment()),
    OurDetector(attention="iou", interaction="entangled", recipe=tiny_experiment()),
    TorchvisionDetector(kind="fcos", recipe=tiny_experiment(), learning_rate=1e-4),
]
LINES = [
    Line(
        dataset=DrawnCrowds(overlap=0.1, size=(64, 96), objects=(2, 4), train=4, val=1, test=8),
        detector=detector,
        budget=Budget(name="tiny", steps=2, batch=2, evaluations=1, ema_decay=0.9),
        seed=0,
    )
    for detector in DETECTORS
]


def test_training_and_inference_are_timed_and_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = Places(work=tmp_path, results=tmp_path)
    seconds = measure(Speed(rounds=2, steps=1, places=places), LINES)
    assert list(seconds) == ["training step", "inference, batch 1", "inference, batch 8"]
    names = [line.detector.name for line in LINES]
    assert [list(rounds) for rounds in seconds.values()] == [names, names[:2], names[:2]]
    assert all(len(times) == 2 for rounds in seconds.values() for times in rounds.values())
    record = last_speed(tmp_path / SPEED)
    assert record is not None
    assert (record["seconds"], record["rounds"], record["threads"]) == (seconds, 2, 1)
    table = speed_table(record)
    assert table in capsys.readouterr().out
    assert f"| {names[0]} |" in table
    assert "1.00 times (1.00 to 1.00)" in table


def test_without_a_measurement_it_is_not_yet_run_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert last_speed(tmp_path / SPEED) is None
    assert speed_table(None) == "*Not yet run.*"
    (tmp_path / SPEED).write_text('{"seconds": {}}\n{"sec', encoding="utf-8")
    with pytest.raises(InputError, match=r"speed\.jsonl: line 2 is no measurement .*; remove it"):
        last_speed(tmp_path / SPEED)
