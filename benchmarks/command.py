"""How a benchmark is started: wrong input gets a sentence."""

import sys
from collections.abc import Callable, Sequence

from uncrowd.errors import InputError


def run(main: Callable[[Sequence[str]], int]) -> None:
    """Ends the process with what `main` returns, or with status 2 and a sentence when its input cannot be used."""
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
