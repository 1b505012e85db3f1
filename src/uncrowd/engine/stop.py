"""Stops a run at the end of a step when a signal asks for it."""

import signal
import threading
from typing import Any


class StopRequest:
    """While entered, SIGTERM and Ctrl-C do not end the process; they are kept in `signal`, where a run finds them.

    A second Ctrl-C ends the process at once. A second SIGTERM does not, because a scheduler and a launcher may each
    send one. Only the main thread receives signals; in any other thread they stay as they are.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        """Takes over the two signals."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        """Restores their handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        self.signal = number
        if number == signal.SIGINT:
            signal.signal(number, self._before[number])
