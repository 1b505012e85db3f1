"""`uncrowd figure KIND ...`: draws the paper's figures from your own runs."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from uncrowd.errors import InputError

# kind -> (module of this package with a function of that name, what the figure shows); imported only when needed
KINDS = {
    "attention": ("figure_query", "which queries a query attends to, before and after IoU (Figure 1a)"),
    "masks": ("figure_query", "features of the class and the box branch after their masks (Figure 1b)"),
    "curves": ("figure_curves", "AP over epochs of several runs (Figure 6)"),
    "compare": ("figure_compare", "detections of two methods beside the ground truth (Figures 7 to 10)"),
}


def main(argv: Sequence[str]) -> int:
    """Draws a figure of one kind."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_help(), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    kind, *rest = argv
    if kind not in KINDS:
        raise InputError(f"There is no figure {kind!r}; give one of {', '.join(KINDS)}.")
    module, _ = KINDS[kind]
    draw: Callable[[Sequence[str]], int] = getattr(import_module(f"uncrowd.cli.{module}"), kind)
    return draw(rest)


def _help() -> str:
    lines = ["usage: uncrowd figure KIND ...", "", "Draws the paper's figures from your own runs, as PNG or JPEG.", ""]
    lines += [f"  {kind:<10} {what}" for kind, (_, what) in KINDS.items()]
    return "\n".join([*lines, "", "`uncrowd figure KIND --help` lists the arguments of a figure."])
