"""`uncrowd train [EXPERIMENT] --data D` and `uncrowd train --resume RUN`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from uncrowd.errors import InputError
from uncrowd.experiments import EXPERIMENTS, Experiment, small_data
from uncrowd.experiments.run import Run, begin, resume


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """Train a detector.

    `uncrowd train --data D` uses the recipe for one's own, smaller data; `uncrowd train NAME --data D` one of the
    experiments that `uncrowd info` lists. Every setting of the experiment is a flag.
    """

    # Folder or annotation file of the data set.
    data: Path | None = None
    # Folder of the run; by default runs/<experiment>-<number>.
    out: Path | None = None
    # Folder of an interrupted run to go on with; its own configuration and data are used.
    resume: Path | None = None
    # Weights file to start from: same model, same classes.
    start_from: Path | None = None
    # "cpu", or by default the GPU where there is one.
    device: str | None = None
    experiment: Annotated[Experiment, tyro.conf.arg(name="")] = field(default_factory=small_data)


def main(argv: Sequence[str]) -> int:
    """Trains; 0 also where a signal stopped the run, for it can be resumed."""
    experiment, rest = _named(argv)
    arguments = tyro.cli(
        tyro.conf.AvoidSubcommands[TrainArguments],
        default=TrainArguments(experiment=experiment),
        args=rest,
        prog="uncrowd train",
    )
    if arguments.resume is not None:
        if arguments.data is not None or arguments.experiment != experiment or experiment != small_data():
            raise InputError("--resume goes on with the run's own data and settings; give it alone.")
        resume(arguments.resume, device=arguments.device)
        return 0
    if arguments.data is None:
        raise InputError("Name the data set with --data, a folder or an annotation file.")
    start_from = str(arguments.start_from.resolve()) if arguments.start_from is not None else None
    run = Run(experiment=arguments.experiment, data=str(arguments.data.resolve()), start_from=start_from)
    begin(run, arguments.out or _fresh_folder(arguments.experiment.name), device=arguments.device)
    return 0


def _named(argv: Sequence[str]) -> tuple[Experiment, list[str]]:
    """The experiment that the first argument names, and the other arguments."""
    if not argv or argv[0].startswith("-"):
        return small_data(), list(argv)
    if argv[0] not in EXPERIMENTS:
        raise InputError(f"There is no experiment {argv[0]!r}; there are {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[argv[0]](), list(argv[1:])


def _fresh_folder(name: str) -> Path:
    number = 1
    while (folder := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return folder
