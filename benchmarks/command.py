"""Starts a benchmark, and reports unusable input in one sentence."""

import sys
from collections.abc import Callable, Sequence

from uncrowd.errors import InputError


def run(main: Callable[[Sequence[str]], int]) -> None:
    """Ends the process with the status that `main` returns, or with status 2 and a sentence for unusable input."""
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
