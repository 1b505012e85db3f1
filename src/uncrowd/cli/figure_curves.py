"""`uncrowd figure curves RUN RUN ...`: plots how fast several runs learn (Figure 6)."""

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
from uncrowd.engine.metrics import read_metrics, scores_in
from uncrowd.errors import InputError
from uncrowd.visualize.curves import plot_convergence


@dataclass(frozen=True, kw_only=True)
class CurvesArguments:
    """Plot a score over the epochs of several runs and mark the last value of each (Figure 6)."""

    # Folders of runs.
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN ...]", help_behavior_hint="")] = ()
    # The figure to write (.png or .jpg).
    out: Path = Path("curves.png")
    # Names of the runs in the legend; by default those of their folders.
    names: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]", help_behavior_hint="")] = ()
    # Name of the score to plot, one of those in metrics.jsonl of the runs.
    score: str = "AP"


def curves(argv: Sequence[str]) -> int:
    """Writes the figure and prints the last score of each run."""
    arguments = parse(CurvesArguments, argv, "uncrowd figure curves")
    require_figure_file(arguments.out)
    if not arguments.runs:
        raise InputError("Name the folders of runs, such as runs/small-data-1.")
    if arguments.names and len(arguments.names) != len(arguments.runs):
        raise InputError(
            f"--names has {len(arguments.names)} names for {len(arguments.runs)} runs; give one name for each run."
        )
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
    """Returns the epochs after which the run was evaluated, and the scores in percent."""
    if not run.is_dir():
        raise InputError(f"{run} is not a folder; give the folder of a run.")
    logged = read_metrics(run / "metrics.jsonl")
    rows = [row for row in logged if row["kind"] == "eval" and _is_number(row.get("epoch"))]
    known = dict.fromkeys(name for row in rows for name, value in scores_in(row).items() if _is_number(value))
    if not known:
        raise InputError(f"{run} has no scores in metrics.jsonl; give a run that was evaluated at least once.")
    if score not in known:
        raise InputError(f"{run} has no score {score!r} in metrics.jsonl; choose with --score from {', '.join(known)}.")
    scored = [row for row in rows if _is_number(row.get(score))]
    return [float(row["epoch"]) for row in scored], [100 * float(row[score]) for row in scored]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9
