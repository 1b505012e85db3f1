"""`uncrowd figure KIND ...`: the paper's figures from one's own runs."""

import sys
from collections.abc import Callable, Sequence

from uncrowd.cli.figure_compare import compare
from uncrowd.cli.figure_curves import curves
from uncrowd.cli.figure_query import attention, masks
from uncrowd.errors import InputError

# kind -> (what draws it, what it shows)
KINDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "attention": (attention, "whom a query attends to, before and after the IoU (Figure 1a)"),
    "masks": (masks, "where the class and the box branch look (Figure 1b)"),
    "curves": (curves, "AP against epoch of several runs (Figure 6)"),
    "compare": (compare, "detections of two methods beside the ground truth (Figures 7 to 10)"),
}


def main(argv: Sequence[str]) -> int:
    """Draws one kind of figure."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_help(), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    kind, *rest = argv
    if kind not in KINDS:
        raise InputError(f"There is no figure {kind!r}; there are {', '.join(KINDS)}.")
    draw, _ = KINDS[kind]
    return draw(rest)


def _help() -> str:
    lines = ["usage: uncrowd figure KIND ...", "", "The paper's figures from one's own runs, as PNG or JPEG.", ""]
    lines += [f"  {kind:<10} {what}" for kind, (_, what) in KINDS.items()]
    return "\n".join([*lines, "", "`uncrowd figure KIND --help` says what a figure takes."])
