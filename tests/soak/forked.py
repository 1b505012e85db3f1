"""Runs an action in a process of its own, made by fork: no import is paid, and whatever happens there stays there."""

import os
import pickle
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Bytes of address space beyond the parent's: an absurd allocation fails instead of filling the machine.
MEMORY = 6 << 30


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    status: its exit status, or minus the number of the signal that ended it. said: all it wrote to standard output and
    error. result: what the action returned. seconds: how long it ran. hung: it was killed at its limit of time.
    """

    status: int
    said: str
    result: Any
    seconds: float
    hung: bool


class Forked:
    """An action that runs in a forked process, which leads a process group of its own."""

    def __init__(self, action: Callable[[], Any]):
        self._said = tempfile.TemporaryFile()  # noqa: SIM115, read when the process has ended
        self._result = tempfile.TemporaryFile()  # noqa: SIM115
        self._start = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(action)

    def _run(self, action: Callable[[], Any]) -> None:
        status = 70
        try:
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            for stream in (1, 2):
                os.dup2(self._said.fileno(), stream)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
            pickle.dump(action(), os.fdopen(os.dup(self._result.fileno()), "wb"))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def kill(self) -> None:
        """Kills the process and those that it started."""
        for send, pid in ((os.killpg, self.pid), (os.kill, self.pid)):  # it may not lead its group yet
            try:
                send(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def wait(self, limit: float) -> Ended:
        """Waits for the end, at most `limit` seconds, after which the process is killed."""
        hung = False
        pid, code = os.waitpid(self.pid, os.WNOHANG)
        while pid == 0:
            if time.monotonic() - self._start > limit and not hung:
                hung = True
                self.kill()
            time.sleep(0.005)
            pid, code = os.waitpid(self.pid, os.WNOHANG)
        seconds = time.monotonic() - self._start
        self._said.seek(0)
        self._result.seek(0)
        payload = self._result.read()
        said = self._said.read().decode(errors="replace")
        self._said.close()
        self._result.close()
        result = pickle.loads(payload) if payload else None
        return Ended(os.waitstatus_to_exitcode(code), said, result, seconds, hung)


def forked(action: Callable[[], Any], limit: float = 120) -> Ended:
    """Runs `action` in a forked process and returns how it ended."""
    return Forked(action).wait(limit)


def require_sentence(ended: Ended, *, statuses: tuple[int, ...] = (0, 2)) -> None:
    """Raises AssertionError unless a verb ended with one of the statuses and printed no traceback."""
    assert not ended.hung, f"hung for {ended.seconds:.0f} s\n{ended.said[-2000:]}"
    assert ended.status == 0, f"ended by {ended.status}\n{ended.said[-3000:]}"  # of the process that ran the verb
    assert "Traceback" not in ended.said, ended.said[-3000:]
    assert ended.result in statuses, f"exit status {ended.result}\n{ended.said[-2000:]}"
