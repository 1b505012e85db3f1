"""Runs lines of the claims, each in a process of its own."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from benchmarks.claims.settings import Line

from uncrowd.engine.stop import StopRequest


class Outcome:
    """What became of the lines of a queue: those that failed, and whether a signal stopped it."""

    def __init__(self) -> None:
        self.failed: list[Line] = []
        self.stopped = False


def run_queue(
    lines: Sequence[Line],
    workers: int,
    start: Callable[[Line], subprocess.Popen[bytes]],
    *,
    ready: Callable[[Line], bool] = lambda _: True,
    pause: float = 0.5,
) -> Outcome:
    """Runs each line in a process of its own, at most `workers` at once, in the given order.

    start: starts the process of a line, which ends with status 0 if nothing is left to do. ready: whether a line can
    start; one that cannot waits for others, and has failed if they end and it still cannot. At SIGTERM or Ctrl-C no
    further line is started, each process gets a SIGTERM, and the queue ends when all have ended. A line that fails
    does not keep others from running. pause: seconds between two looks at the processes.
    """
    outcome, waiting = Outcome(), list(lines)
    running: list[tuple[Line, subprocess.Popen[bytes]]] = []
    with StopRequest() as request:
        while running or (waiting and request.signal is None):
            while request.signal is None and len(running) < workers and (line := next(filter(ready, waiting), None)):
                waiting.remove(line)
                running.append((line, start(line)))
            if not running and request.signal is None:
                outcome.failed += waiting
                break
            if request.signal is not None and not outcome.stopped:
                outcome.stopped = True
                for _, process in running:
                    process.send_signal(signal.SIGTERM)
            ended = [pair for pair in running if pair[1].poll() is not None]
            running = [pair for pair in running if pair not in ended]
            outcome.failed += [line for line, process in ended if process.returncode and not outcome.stopped]
            if not ended:
                time.sleep(pause)
    return outcome
