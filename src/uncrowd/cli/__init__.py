"""The command line: parses the arguments, calls the verb and says in one sentence what went wrong."""

import errno
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path

from uncrowd.errors import InputError, NonFiniteError, PeerLostError
from uncrowd.extras import extras_of
from uncrowd.freed_memory import keep_freed_memory
from uncrowd.out_of_memory import is_out_of_memory
from uncrowd.words import nearest, one_line

# verb -> (module of this package, what it does), in the order in which a user meets them. A module is
# imported only when its verb is used.
VERBS = {
    "demo": ("demo", "draw data, train on it, score and detect, in eight minutes"),
    "fetch": ("fetch", "write a dataset of the Hugging Face Hub as a COCO folder"),
    "check": ("check", "say what is wrong with a dataset"),
    "train": ("train", "train a detector on your data, or continue an interrupted run"),
    "eval": ("eval", "score a detector or detections, say what goes wrong, compare two"),
    "predict": ("predict", "detect and count objects in images, large ones in tiles, follow them in videos"),
    "export": ("export", "write a detector for ONNX Runtime, OpenVINO or a browser, or as smaller weights"),
    "push": ("push", "put a detector on the Hugging Face Hub, with a model card"),
    "pull": ("pull", "get a detector from the Hugging Face Hub, as a weights file"),
    "info": ("info", "list the detectors that come with it and the recipes, or show one"),
    "import": ("import_published", "turn a published Sparse R-CNN or DETR into a weights file"),
    "upgrade": ("upgrade", "add IoU-ESA and DCW to a trained Sparse R-CNN, to fine-tune it"),
    "figure": ("figure", "draw the paper's figures from your own runs"),
}
# Verbs that train: their batches have many sizes, so freed memory that is kept grows to several times what is used.
_TRAINING = {"train", "demo"}
# Errors of the operating system that the user has to resolve: full disks, missing permissions, wrong paths.
_OF_THE_MACHINE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR),
    *(errno.ENAMETOOLONG, errno.ELOOP),
)


def run() -> None:
    """Entry point of the `uncrowd` command. Memory, output and signals are set up here: the process is our own."""
    if not _TRAINING.intersection(sys.argv[1:2]):
        keep_freed_memory()
    # What a Mac's GPU cannot compute, its CPU does. Torch reads this when it is imported.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    _write_to_any_terminal()
    warnings.formatwarning = _note
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Runs one verb and returns its exit status.

    0 is success, 2 input that cannot be used, 1 a fault of uncrowd, 130 and 143 an end by Ctrl-C and by SIGTERM.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(_help(), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    if argv[0] == "--version":
        from uncrowd import __version__

        print(f"uncrowd {__version__}")
        return 0
    verb, *rest = argv
    if verb not in VERBS:
        meant = nearest(verb, VERBS) or f"; there are {', '.join(VERBS)}"
        return _refuse(f"there is no verb {verb!r}{meant}.")
    try:
        with extras_of(f"`uncrowd {verb}`"):
            from uncrowd.cli.flags import refuse_unclear  # it imports tyro, for which `--help` does not wait

            refuse_unclear(rest)
            command: Callable[[Sequence[str]], int] = import_module(f"uncrowd.cli.{VERBS[verb][0]}").main
            status = command(rest)
        sys.stdout.flush()  # a closed pipe raises here, inside the try, and not at exit
        return status
    except InputError as error:
        return _refuse(str(error))
    except (NonFiniteError, PeerLostError) as error:
        return _refuse(one_line(str(error)), 1)
    except SystemExit as error:  # raised by the parser, which has printed its message
        return error.code if isinstance(error.code, int) else 0
    except KeyboardInterrupt:
        return _refuse("interrupted", 130)
    except _Terminated:
        return _refuse("terminated", 143)
    except BrokenPipeError:  # nobody reads the output any more, so discard what is buffered
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            return _refuse(f"{error.filename or 'a file'} cannot be used: {error.strerror}.")
        if is_out_of_memory(error):
            return _refuse("memory ran out; smaller batches and smaller images need less.")
        if _says_why():
            traceback.print_exc()
        return _refuse("the above is a fault of uncrowd, not of your input; please report it.", 1)


def _write_to_any_terminal() -> None:
    """Escapes what the encoding of the output does not have, and discards output that was closed (`>&-`)."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115, open to the end
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _note(message: Warning | str, *_: object) -> str:
    """Returns a warning without the line of code that gave it, which tells a user nothing."""
    return f"note: {message}\n"


class _Terminated(BaseException):
    """SIGTERM came. As an exception it lets every part close its files, as KeyboardInterrupt does."""


def _terminate(number: int, frame: object) -> None:
    raise _Terminated


def _refuse(sentence: str, status: int = 2) -> int:
    """Says why the command ends and returns its status; of several ranks only the first to fail says it."""
    if _says_why():
        print(f"uncrowd: {sentence}", file=sys.stderr)
    return status


def _says_why() -> bool:
    if "WORLD_SIZE" not in os.environ:
        return True
    from uncrowd.ranks import fails_first  # which imports torch

    return fails_first()


def _help() -> str:
    lines = ["usage: uncrowd VERB ...", "", "Detects objects in crowded images, end to end.", ""]
    lines += [f"  {verb:<8} {what}" for verb, (_, what) in VERBS.items()]
    return "\n".join(
        [*lines, "", "`uncrowd VERB --help` explains a verb and its flags. `uncrowd --version` prints the version."]
    )
