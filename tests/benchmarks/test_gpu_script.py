"""Each step of the script for GPUs can begin: its arguments parse, its files exist; and together they end in time."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import tyro

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the script is for bash")


@pytest.mark.parametrize("toy", [False, True])
def test_every_step_can_begin_and_all_end_in_time(tmp_path: Path, toy: bool) -> None:
    steps, status = recorded(tmp_path, toy=toy, status=0)
    assert status == 0
    assert sum(int(seconds) for seconds, *_ in steps) <= 570
    for _, _, flag, module, *arguments in steps:
        assert flag == "-m"
        if module == "pytest":
            assert all(Path(argument).exists() for argument in arguments if not argument.startswith("-"))
        else:
            tyro.cli(import_module(module).Arguments, args=arguments)


def test_a_step_that_fails_leaves_the_others_be_and_is_told_at_the_end(tmp_path: Path) -> None:
    steps, status = recorded(tmp_path, toy=True, status=3)
    assert len(steps) > 1
    assert status == 1


def recorded(folder: Path, *, toy: bool, status: int) -> tuple[list[list[str]], int]:
    """What the script gives `timeout`, which here does no more than end with this status, and how the script ends."""
    steps, timeout = folder / "steps.txt", folder / "timeout"
    timeout.write_text(f'#!/bin/sh\necho "$@" >> "{steps}"\nexit {status}\n')
    timeout.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": "python", "TOY": "1" if toy else ""}
    command = ["bash", "benchmarks/gpu.sh", str(folder / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return [line.split() for line in steps.read_text().splitlines()], done.returncode
