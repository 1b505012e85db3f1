"""A signal that asks a run to stop is kept until a step is done."""

import signal
from typing import Any


class StopRequest:
    """While entered, SIGTERM and Ctrl-C set `asked` instead of ending the process; only for the main thread.

    A second Ctrl-C ends it at once. A second SIGTERM does not: a scheduler and a launcher may each send one.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        """Takes the signals over."""
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        """Gives them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True
        if number == signal.SIGINT:
            signal.signal(number, self._before[number])
