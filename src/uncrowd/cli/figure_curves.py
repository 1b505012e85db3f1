"""`uncrowd figure curves RUN RUN ...`: how fast several runs learn (Figure 6)."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image
from tyro.conf import Positional, arg

from uncrowd.cli.figure_file import require_figure_file, save_figure
from uncrowd.cli.flags import parse
from uncrowd.engine.metrics import read_metrics
from uncrowd.errors import InputError
from uncrowd.visualize.curves import plot_convergence

# What a row of an evaluation has beside its scores.
NO_SCORES = {"kind", "epoch", "step", "time", "per_class"}


@dataclass(frozen=True, kw_only=True)
class CurvesArguments:
    """Plot a score against the epoch for several runs, their ends marked (Figure 6)."""

    # Folders of runs.
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN ...]", help_behavior_hint="")] = ()
    # The figure, .png or .jpg.
    out: Path = Path("curves.png")
    # What the legend calls the runs, one name each; by default as their folders.
    names: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]", help_behavior_hint="")] = ()
    # Which of the scores that the runs recorded.
    score: str = "AP"


def curves(argv: Sequence[str]) -> int:
    """Writes the figure and says where each run ended."""
    arguments = parse(CurvesArguments, argv, "uncrowd figure curves")
    require_figure_file(arguments.out)
    if not arguments.runs:
        raise InputError("Name the folders of runs, such as runs/small-data-1.")
    if arguments.names and len(arguments.names) != len(arguments.runs):
        raise InputError(f"--names has {len(arguments.names)} names for {len(arguments.runs)} runs; give one each.")
    names = arguments.names or tuple(run.resolve().name for run in arguments.runs)
    courses = [_course(run, arguments.score) for run in arguments.runs]
    series = [(name, epochs, scores) for name, (epochs, scores) in zip(names, courses, strict=True)]
    png = plot_convergence(series, y_label=arguments.score)
    save_figure(arguments.out, np.array(Image.open(io.BytesIO(png)).convert("RGB")))
    for name, epochs, scores in series:
        print(f"{name}: {arguments.score} {scores[-1]:.1f} after epoch {epochs[-1]:g}")
    print(f"written to {arguments.out}")
    return 0


def _course(run: Path, score: str) -> tuple[list[float], list[float]]:
    """The epochs after which the run was scored, and the scores in percent."""
    if not run.is_dir():
        raise InputError(f"{run} is no folder; give the folder of a run.")
    logged = read_metrics(run / "metrics.jsonl")
    rows = [row for row in logged if row["kind"] == "eval" and _is_number(row.get("epoch"))]
    # a score that is not defined is null
    known = dict.fromkeys(name for row in rows for name in row if name not in NO_SCORES and _is_number(row[name]))
    if not known:
        raise InputError(f"{run} has recorded no scores in metrics.jsonl; give a run that was scored at least once.")
    if score not in known:
        raise InputError(f"{run} has not recorded the score {score!r}; choose with --score from {', '.join(known)}.")
    scored = [row for row in rows if _is_number(row.get(score))]
    return [float(row["epoch"]) for row in scored], [100 * float(row[score]) for row in scored]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9
