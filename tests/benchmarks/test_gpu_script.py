"""Each step of gpu.sh can start: its arguments parse and its files exist. All time limits together fit."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import tyro

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the script is for bash")


@pytest.mark.parametrize("toy", [False, True])
def test_every_step_can_start_and_all_end_in_time(tmp_path: Path, toy: bool) -> None:
    steps, status = recorded(tmp_path, toy=toy, status=0)
    assert status == 0
    assert sum(int(seconds) for seconds, *_ in steps) <= 570
    for _, _, flag, module, *arguments in steps:
        assert flag == "-m"
        if module == "pytest":
            assert all(Path(argument).exists() for argument in arguments if not argument.startswith("-"))
        else:
            tyro.cli(import_module(module).Arguments, args=arguments)


def test_a_failing_step_does_not_stop_the_others_and_fails_the_script(tmp_path: Path) -> None:
    steps, status = recorded(tmp_path, toy=True, status=3)
    assert len(steps) > 1
    assert status == 1


def recorded(folder: Path, *, toy: bool, status: int) -> tuple[list[list[str]], int]:
    """Runs the script with a `timeout` that only ends with `status`. Returns its arguments and the script's status."""
    steps, timeout = folder / "steps.txt", folder / "timeout"
    timeout.write_text(f'#!/bin/sh\necho "$@" >> "{steps}"\nexit {status}\n')
    timeout.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": "python", "TOY": "1" if toy else ""}
    command = ["bash", "benchmarks/gpu.sh", str(folder / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return [line.split() for line in steps.read_text().splitlines()], done.returncode
