"""`uncrowd figure KIND ...`: the paper's figures from one's own runs."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from uncrowd.errors import InputError

# kind -> (module of this package, with a function of that name; what it shows); imported only when it is drawn
KINDS = {
    "attention": ("figure_query", "whom a query attends to, before and after the IoU (Figure 1a)"),
    "masks": ("figure_query", "where the class and the box branch look (Figure 1b)"),
    "curves": ("figure_curves", "AP against epoch of several runs (Figure 6)"),
    "compare": ("figure_compare", "detections of two methods beside the ground truth (Figures 7 to 10)"),
}


def main(argv: Sequence[str]) -> int:
    """Draws one kind of figure."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_help(), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    kind, *rest = argv
    if kind not in KINDS:
        raise InputError(f"There is no figure {kind!r}; there are {', '.join(KINDS)}.")
    module, _ = KINDS[kind]
    draw: Callable[[Sequence[str]], int] = getattr(import_module(f"uncrowd.cli.{module}"), kind)
    return draw(rest)


def _help() -> str:
    lines = ["usage: uncrowd figure KIND ...", "", "The paper's figures from one's own runs, as PNG or JPEG.", ""]
    lines += [f"  {kind:<10} {what}" for kind, (_, what) in KINDS.items()]
    return "\n".join([*lines, "", "`uncrowd figure KIND --help` says what a figure takes."])
