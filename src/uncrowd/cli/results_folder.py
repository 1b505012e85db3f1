"""The folder into which `uncrowd predict` writes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

from uncrowd.errors import InputError
from uncrowd.ranks import ALONE, Ranks
from uncrowd.runs.folder import locked

# Results go into the first free number of this folder unless the user names one.
NUMBERED = Path("runs") / "predict"


@contextmanager
def results_folder(out: Path | None, ranks: Ranks = ALONE) -> Iterator[Path]:
    """Makes the folder and keeps other processes out of it while the code inside writes there.

    Of several ranks the first one does so, when all have come so far. Raises InputError for an OSError of that code: it
    comes from writing, because reading raises InputError.
    """
    try:
        with ExitStack() as stack:
            yield ranks.once(lambda: stack.enter_context(_locked_folder(out)))
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{out or NUMBERED} cannot be written ({reason}); name another folder with --out.") from error


@contextmanager
def _locked_folder(out: Path | None) -> Iterator[Path]:
    folder = _make_folder(out)
    with locked(folder):
        yield folder


def _make_folder(out: Path | None) -> Path:
    """Makes the folder for the results; of two calls at once, only one gets a number."""
    if out is not None:
        if out.exists() and not out.is_dir():
            raise InputError(f"{out} is a file; name a folder with --out.")
        out.mkdir(parents=True, exist_ok=True)
        return out
    for number in count(1):
        with suppress(FileExistsError):
            (NUMBERED / str(number)).mkdir(parents=True)
            return NUMBERED / str(number)
    raise AssertionError("numbers never end")
