"""`uncrowd train [EXPERIMENT] --data D` and `uncrowd train --resume RUN`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from uncrowd.cli.flags import OptionalDevice, OptionalPath, parse, require_device
from uncrowd.data.formats.format import BoxKind
from uncrowd.errors import InputError
from uncrowd.recipes import EXPERIMENTS, Experiment, small_data
from uncrowd.runs.run import Run, begin, resume
from uncrowd.words import nearest


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """Train a detector.

    For one's own, smaller data: `uncrowd train --data D`. One of the experiments that `uncrowd info` lists: `uncrowd
    train NAME --data D`, and `uncrowd train NAME --help` for its values. An interrupted run: `uncrowd train --resume
    RUN`. Every setting of the experiment is a flag, shown with the experiment's value.
    """

    # The dataset: its folder, or its annotation file. Without a validation split, a tenth is held out.
    data: OptionalPath = None
    # Which boxes of CrowdHuman's odgt: the full body, its visible part, or the head.
    box: BoxKind = "fbox"
    # Folder of the run, which must not hold one yet; by default runs/NAME-NUMBER.
    out: OptionalPath = None
    # Folder of an interrupted run to go on with; its own settings and data are used.
    resume: OptionalPath = None
    # Weights (.safetensors) or a run's folder to start from: same model, same classes.
    start_from: OptionalPath = None
    # The weights of --start-from may be of other classes: those of the same name are kept, the others begin anew.
    new_class_head: bool = False
    # By default the GPU where there is one.
    device: OptionalDevice = None
    experiment: Annotated[Experiment, arg(name="")] = field(default_factory=small_data)


def main(argv: Sequence[str]) -> int:
    """Trains; 0 also where a signal stopped the run, for it can be resumed."""
    name, rest = _named(argv)
    defaults = TrainArguments(experiment=EXPERIMENTS[name]() if name is not None else small_data())
    arguments = parse(TrainArguments, rest, " ".join(["uncrowd train", *([name] if name else [])]), defaults)
    require_device(arguments.device)
    if arguments.resume is not None:
        if name is not None or replace(arguments, resume=None, device=None) != defaults:
            raise InputError("--resume goes on with the run's own data and settings; give it alone, or with --device.")
        resume(arguments.resume, device=arguments.device)
        return 0
    if arguments.data is None:
        raise InputError(
            "Name the dataset with --data, a folder or an annotation file; `uncrowd train --help` says more."
        )
    start_from = str(arguments.start_from.resolve()) if arguments.start_from is not None else None
    run = Run(
        experiment=arguments.experiment,
        data=str(arguments.data.resolve()),
        box=arguments.box,
        start_from=start_from,
        new_class_head=arguments.new_class_head,
    )
    begin(run, arguments.out or _fresh_folder(arguments.experiment.name), device=arguments.device)
    return 0


def _named(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The name of an experiment where the first argument is one, and the other arguments."""
    if not argv or argv[0].startswith("-"):
        return None, list(argv)
    if argv[0] not in EXPERIMENTS:
        if Path(argv[0]).exists():
            raise InputError(f"{argv[0]} is no experiment but a file or folder; name the data with --data {argv[0]}.")
        raise InputError(
            f"There is no experiment {argv[0]!r}{nearest(argv[0], EXPERIMENTS)}; `uncrowd info` lists them."
        )
    return argv[0], list(argv[1:])


def _fresh_folder(name: str) -> Path:
    number = 1
    while (folder := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return folder
