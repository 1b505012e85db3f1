"""A log can be read again, whatever interrupted the run that wrote it."""

import json
import math
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from uncrowd.engine.log import RunLog
from uncrowd.engine.metrics import read_metrics
from uncrowd.errors import InputError


def rows(folder: Path) -> list[tuple[str, int]]:
    return [(row["kind"], row["step"]) for row in read_metrics(folder / "metrics.jsonl")]


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def write_run(folder: Path, steps: range, evaluated: tuple[int, ...] = (), **resumed: int | bool) -> None:
    log = RunLog(folder, **resumed)  # pyright: ignore[reportArgumentType]
    for step in steps:
        log.write("train", step, {"loss": float(step)})
        if step in evaluated:
            log.write("eval", step, {"AP": 0.5, "per_class": {"dog": None}})
    log.close()


def test_numbers_go_to_jsonl_and_tensorboard(tmp_path: Path) -> None:
    write_run(tmp_path, range(1, 4), evaluated=(2,))
    assert rows(tmp_path) == [("train", 1), ("train", 2), ("eval", 2), ("train", 3)]
    assert scalars(tmp_path, "train/loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert scalars(tmp_path, "eval/AP") == [(2, 0.5)]
    assert read_metrics(tmp_path / "metrics.jsonl")[2]["per_class"] == {"dog": None}


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.write("train", 1, {"loss": math.nan, "gradient_norm": math.inf, "l1": 2.0})
    log.close()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    row = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse)
    assert (row["loss"], row["gradient_norm"], row["l1"]) == (None, None, 2.0)


def test_a_resumed_run_repeats_no_row(tmp_path: Path) -> None:
    """The run was killed after step 6 and resumes from the checkpoint of step 4, whose evaluation was finished."""
    write_run(tmp_path, range(1, 7), evaluated=(4,))
    write_run(tmp_path, range(5, 9), evaluated=(8,), start_step=4)
    steps = [("train", step) for step in range(1, 9)]
    assert rows(tmp_path) == [*steps[:4], ("eval", 4), *steps[4:], ("eval", 8)]
    assert scalars(tmp_path, "train/loss") == [(step, float(step)) for step in range(1, 9)]


def test_an_evaluation_that_comes_again_is_dropped(tmp_path: Path) -> None:
    """The run was killed after the evaluation of step 4 and before the checkpoint that follows it."""
    write_run(tmp_path, range(1, 5), evaluated=(4,))
    write_run(tmp_path, range(0), start_step=4, evaluates_again=True)
    assert rows(tmp_path) == [("train", step) for step in range(1, 5)]


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    write_run(tmp_path, range(1, 4))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')
    assert rows(tmp_path) == [("train", 1), ("train", 2), ("train", 3)]
    write_run(tmp_path, range(4, 5), start_step=3)
    assert rows(tmp_path)[-1] == ("train", 4)


@pytest.mark.parametrize("line", [b"3", b"[]", b'{"loss": 3}', b'{"kind": "eval"}', b"\xff\xfe", b"[" * 100_000])
def test_the_log_ends_where_a_line_is_no_row(tmp_path: Path, line: bytes) -> None:
    write_run(tmp_path, range(1, 3))
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(line + b"\n")
    assert rows(tmp_path) == [("train", 1), ("train", 2)]
    write_run(tmp_path, range(3, 4), start_step=2)
    assert rows(tmp_path)[-1] == ("train", 3)


def test_a_run_that_begins_again_forgets_what_was(tmp_path: Path) -> None:
    write_run(tmp_path, range(1, 4))
    write_run(tmp_path, range(1, 2))
    assert rows(tmp_path) == [("train", 1)]
    assert scalars(tmp_path, "train/loss") == [(1, 1.0)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has the device")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")  # where every write finds the disk full
    with pytest.raises(InputError, match=r"cannot be written: No space left on device\."):
        log.write("train", 1, {"loss": 1.0})
    log.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"folder .*file/run cannot be written: Not a directory"):
        RunLog(tmp_path / "file" / "run")


def test_without_a_terminal_there_are_plain_lines_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = RunLog(tmp_path)
    log.progress(1, 3)
    log.progress(2, 3, "loss 1.5 " + "x" * 100)
    log.say("[bold]said as it is[/bold] :warning:")
    log.close()
    assert capsys.readouterr().out == f"step 2/3  loss 1.5 {'x' * 100}\n[bold]said as it is[/bold] :warning:\n"
