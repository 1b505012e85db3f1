"""Runs the claims and writes their page: `python -m benchmarks.claims run`, `status`, `speed` and `tables`."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import torch
import tyro
from benchmarks.claims.lines import all_lines
from benchmarks.claims.page import Tables, write_page
from benchmarks.claims.queue import run_queue
from benchmarks.claims.rates import needs
from benchmarks.claims.run import Places, read_lines, run_line, summary
from benchmarks.claims.settings import Line
from benchmarks.claims.speed import Speed, measure
from benchmarks.command import run

from uncrowd.errors import InputError, require_at_least
from uncrowd.freed_memory import keep_freed_memory
from uncrowd.words import counted

# The exit status after SIGTERM or Ctrl-C.
_STOPPED = 128 + signal.SIGTERM


@dataclass(frozen=True, kw_only=True)
class Run:
    """Run all lines that are not done; Ctrl-C and SIGTERM stop it, and the same command goes on."""

    # Lines that run at once, each on one core, or all on the GPU where there is one.
    workers: int = 2
    # Run this line alone, in this process.
    line: str | None = None
    # Device to run on, cpu or cuda. By default the GPU where there is one.
    device: str | None = None
    # Where runs and results are kept.
    places: Places = field(default_factory=Places)

    def __post_init__(self) -> None:
        """Raises InputError for a number of workers that can run nothing."""
        require_at_least(1, **{"--workers": self.workers})


@dataclass(frozen=True, kw_only=True)
class Status:
    """Say which lines are done, which have begun and which come next."""

    # Where runs and results are kept.
    places: Places = field(default_factory=Places)


def main(argv: Sequence[str]) -> int:
    """Does what the command says; returns 1 if a line failed, and 128 + 15 if a signal stopped the run."""
    commands = (
        Annotated[Run, tyro.conf.subcommand("run")]
        | Annotated[Status, tyro.conf.subcommand("status")]
        | Annotated[Tables, tyro.conf.subcommand("tables")]
        | Annotated[Speed, tyro.conf.subcommand("speed")]
    )
    command = tyro.cli(commands, args=list(argv), prog="python -m benchmarks.claims")  # type: ignore[call-overload]
    match command:
        case Run():
            return _run(command)
        case Status():
            return _status(command.places)
        case Tables():
            write_page(command)
        case Speed():
            measure(command)
    return 0


def _run(command: Run) -> int:
    torch.set_num_threads(1)
    if command.line is not None:
        line = _named(command.line)
        keep_freed_memory()
        return 0 if run_line(line, command.places, device=command.device) else _STOPPED
    done = read_lines(command.places.lines)
    left = [line for line in all_lines() if line.name not in done]
    outcome = run_queue(left, command.workers, partial(_start, command), ready=partial(_ready, command.places))
    for line in outcome.failed:
        print(f"{line.name} failed; its log is in {command.places.run(line)}.log", file=sys.stderr)
    _status(command.places)
    return _STOPPED if outcome.stopped else int(bool(outcome.failed))


def _ready(places: Places, line: Line) -> bool:
    """Returns whether the lines are recorded that choose the learning rate of this one."""
    return read_lines(places.lines).keys() >= set(needs(line))


def _start(command: Run, line: Line) -> subprocess.Popen[bytes]:
    """Starts the process of a line, with one thread and a log beside the folder of its run."""
    places = command.places
    log = places.run(line).with_name(f"{line.name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = ["run", "--line", line.name, "--places.work", str(places.work), "--places.results", str(places.results)]
    arguments += ["--device", command.device] if command.device is not None else []
    arguments += ["--places.real", str(places.real)] if places.real is not None else []
    print(f"{line.name} begins or goes on", flush=True)
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.claims", *arguments],
            stdout=stream,
            stderr=stream,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,  # a Ctrl-C in the terminal reaches the queue alone, which then stops its lines
        )


def _named(name: str) -> Line:
    for line in all_lines():
        if line.name == name:
            return line
    raise InputError(f"There is no line {name!r}; `python -m benchmarks.claims status` lists them.")


def _status(places: Places) -> int:
    done = read_lines(places.lines)
    lines = all_lines()
    for line in lines:
        if line.name in done:
            record = done[line.name]
            print(f"done   {line.name}  {summary(record)}, {record['seconds'] / 60:.0f} minutes")
        else:
            print(f"{'begun' if places.run(line).is_dir() else 'next':6} {line.name}")
    print(f"{sum(line.name in done for line in lines)} of {counted(len(lines), 'line')} done")
    return 0


if __name__ == "__main__":
    run(main)
