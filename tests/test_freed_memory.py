"""Freed memory is kept by whoever asks for it: seen by the page faults of a block like those before."""

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
# small things that live on move in beside the first blocks, so that these are soon too short for another
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
    if "[always]" not in HUGE_PAGES.read_text():  # of which a block has few
        assert run("leave")[1] > PAGES / 2, "what there is to gain"


def test_what_the_environment_says_stays() -> None:
    assert run("keep", MALLOC_ARENA_MAX="8")[0] is False
