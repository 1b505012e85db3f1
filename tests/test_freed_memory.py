"""Freed memory is kept on request, so that another block of the same size causes no page faults."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import resource, sys
import torch
from uncrowd.freed_memory import keep_freed_memory

kept = keep_freed_memory() if sys.argv[1] == "keep" else False
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(64 * 2**20 // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
# the last calls count: small objects settle among the first blocks and make them too short for another
seen = [faults() for _ in range(40)]
print(kept, min(seen[-5:]))
"""
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
PAGES = 64 * 2**20 // 4096


def run(how: str, **environment: str) -> tuple[bool, int]:
    allocator = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(allocator)}
    command = [sys.executable, "-c", PROGRAM, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean | environment)
    kept, faults = done.stdout.split()
    return kept == "True", int(faults)


pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


def test_a_block_that_was_freed_is_used_again() -> None:
    kept, faults = run("keep")
    assert kept
    assert faults < PAGES / 100
    if "[always]" not in HUGE_PAGES.read_text():  # with huge pages a block has few page faults anyway
        assert run("leave")[1] > PAGES / 2, "without it there are page faults to save"


def test_an_allocator_configured_by_the_environment_is_left_alone() -> None:
    assert run("keep", MALLOC_ARENA_MAX="8")[0] is False
