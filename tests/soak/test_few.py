"""A few tries of most kinds; `make soak` makes many."""

import subprocess
import sys

import pytest

from tests.soak.__main__ import KINDS


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")
def test_none_of_a_few_tries_fails() -> None:
    """They run in a process of their own: one that has trained cannot be forked."""
    done = subprocess.run([sys.executable, "-m", "tests.soak", "--few"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    tried = sum(kind.few for kind in KINDS.values())
    assert done.stdout.splitlines()[-1].split()[:3] == [str(tried), str(tried), "0"]
