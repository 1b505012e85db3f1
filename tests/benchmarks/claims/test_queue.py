"""The queue runs every line, in order, until a signal stops it; the command says what is done and what is next."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.claims.__main__ import main
from benchmarks.claims.lines import all_lines
from benchmarks.claims.queue import run_queue
from benchmarks.claims.settings import Line

from uncrowd.errors import InputError

LINES = all_lines()[:4]


def python(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-S", "-c", code])


def test_every_line_is_run_and_those_that_fail_are_named() -> None:
    started: list[Line] = []

    def start(line: Line) -> subprocess.Popen[bytes]:
        started.append(line)
        return python(f"raise SystemExit({3 if line == LINES[1] else 0})")

    outcome = run_queue(LINES, 2, start, pause=0.01)
    assert started == LINES
    assert (outcome.failed, outcome.stopped) == ([LINES[1]], False)


def test_a_line_that_is_not_ready_waits_for_others_and_fails_if_none_makes_it_ready() -> None:
    started: list[Line] = []

    def start(line: Line) -> subprocess.Popen[bytes]:
        started.append(line)
        return python("pass")

    def ready(line: Line) -> bool:
        return line != LINES[3] and (line != LINES[0] or LINES[2] in started)

    outcome = run_queue(LINES, 1, start, ready=ready, pause=0.01)
    assert started == [LINES[1], LINES[2], LINES[0]]
    assert (outcome.failed, outcome.stopped) == ([LINES[3]], False)


@pytest.mark.skipif(sys.platform == "win32", reason="its processes receive no signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_lines_that_run_and_starts_no_other(number: int) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(line: Line) -> subprocess.Popen[bytes]:
        started.append(python("import signal; signal.pause()"))
        if len(started) == 2:
            os.kill(os.getpid(), number)
        return started[-1]

    outcome = run_queue(LINES, 2, start, pause=0.01)
    assert (outcome.failed, outcome.stopped) == ([], True)
    assert [process.returncode for process in started] == [-signal.SIGTERM] * 2


def test_status_lists_what_is_done_begun_and_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third, _ = (line.name for line in LINES)
    (tmp_path / "results.jsonl").write_text(
        f'{{"name": "{first}", "seconds": 600, "test": {{"coco": {{"AP50": 0.5}}}}}}\n', encoding="utf-8"
    )
    (tmp_path / "lines" / second).mkdir(parents=True)
    assert main(["status", "--places.results", str(tmp_path), "--places.work", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:3] == [f"done   {first}  AP50 0.500, 10 minutes", f"begun  {second}", f"next   {third}"]
    assert printed[-1] == f"1 of {len(all_lines())} lines done"


def test_a_line_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no line 'nothing'"):
        main(["run", "--line", "nothing", "--places.results", str(tmp_path)])
