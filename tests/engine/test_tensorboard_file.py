"""TensorBoard reads what was written, and a full disk is met where the number is written."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from uncrowd.engine.sink import Row
from uncrowd.engine.tensorboard_file import TensorboardFile


def test_a_later_file_replaces_what_earlier_ones_hold_from_its_first_step_on(tmp_path: Path) -> None:
    for first_step in (1, 3):
        events = TensorboardFile(tmp_path, first_step)
        for step in range(first_step, 6):
            loss = first_step + step / 10
            events.write(Row(kind="train", step=step, values={"loss": loss, "why": "a text"}, time=0.0))
        events.close()
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    found = [(event.step, round(event.value, 1)) for event in read.Scalars("train/loss")]
    assert found == [(1, 1.1), (2, 1.2), (3, 3.3), (4, 3.4), (5, 3.5)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has the device")
def test_a_full_disk_is_met_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncrowd.engine.tensorboard_file._name", lambda *_: "/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        TensorboardFile(tmp_path, 1)
