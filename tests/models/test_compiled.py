"""A compiled model computes what it computes without, in graphs without breaks, and training's serve all sizes."""

import json
import subprocess
import sys
from typing import Any

import pytest

ROUNDING = 1e-4  # as a share of a tensor's largest value


def run(what: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.models.compiled_program", what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_parts_are_compiled_once_for_all_sizes_and_pass_gradients() -> None:
    """Backbone, pyramid and the one stage."""
    found = run("parts")
    assert found["graphs"] == [3, 3]
    assert found["breaks"] == 0
    assert found["apart"] < ROUNDING


def test_the_whole_is_one_graph_a_size() -> None:
    found = run("whole")
    assert found["graphs"] == [1, 2]
    assert found["breaks"] == 0
    assert found["apart"] == pytest.approx(0, abs=ROUNDING)
