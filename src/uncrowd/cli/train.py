"""`uncrowd train [EXPERIMENT] --data D` and `uncrowd train --resume RUN`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from uncrowd.cli.flags import OptionalDevice, OptionalPath, parse, require_device
from uncrowd.data.formats.format import BoxKind
from uncrowd.errors import InputError
from uncrowd.recipes import EXPERIMENTS, Experiment, experiment_named, small_data
from uncrowd.runs.train import resume, train


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """Train a detector.

    `uncrowd train --data D` trains on a small dataset of your own. `uncrowd train NAME --data D` trains one of the
    recipes that `uncrowd info` lists, and `uncrowd train NAME --help` shows its settings. `uncrowd train --resume
    RUN` continues an interrupted run. Every setting of the recipe is a flag, shown with the recipe's value.
    """

    # The dataset: its folder, or its annotation file. Without a validation split, a tenth is held out.
    data: OptionalPath = None
    # Which boxes of CrowdHuman's odgt to use: the full body, its visible part, or the head.
    box: BoxKind = "fbox"
    # Folder for the run. It must not hold one yet. By default runs/NAME-NUMBER.
    out: OptionalPath = None
    # Folder of an interrupted run to continue, with its own settings and data.
    resume: OptionalPath = None
    # Weights (.safetensors) or a run's folder to start from. Model and classes must be the same.
    start_from: OptionalPath = None
    # Allow other classes in the weights of --start-from: classes of the same name keep their weights, the others start
    # from new ones.
    new_class_head: bool = False
    # Take three steps, say what the whole training would take in time and memory, and write nothing.
    dry_run: bool = False
    # By default the GPU if there is one.
    device: OptionalDevice = None
    experiment: Annotated[Experiment, arg(name="")] = field(default_factory=small_data)


def main(argv: Sequence[str]) -> int:
    """Trains. Returns 0 also when a signal stopped the run, because it can be resumed."""
    name, rest = _named(argv)
    defaults = TrainArguments(experiment=experiment_named(name) if name is not None else small_data())
    arguments = parse(TrainArguments, rest, " ".join(["uncrowd train", *([name] if name else [])]), defaults)
    require_device(arguments.device)
    if arguments.resume is not None:
        if name is not None or replace(arguments, resume=None, device=None, dry_run=False) != defaults:
            raise InputError(
                "--resume continues with the run's own data and settings; give it alone, or with --device or --dry-run."
            )
        resume(arguments.resume, device=arguments.device, dry_run=arguments.dry_run)
        return 0
    if arguments.data is None:
        raise InputError(
            "Name the dataset with --data, a folder or an annotation file; `uncrowd train --help` says more."
        )
    train(
        arguments.data,
        arguments.experiment,
        out=arguments.out,
        box=arguments.box,
        start_from=arguments.start_from,
        new_class_head=arguments.new_class_head,
        device=arguments.device,
        dry_run=arguments.dry_run,
    )
    return 0


def _named(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """Returns the name of a recipe, if the first argument is a name, and the other arguments."""
    if not argv or argv[0].startswith("-"):
        return None, list(argv)
    if argv[0] not in EXPERIMENTS and Path(argv[0]).exists():
        raise InputError(f"{argv[0]} is a file or folder, not a recipe; name the data with --data {argv[0]}.")
    return argv[0], list(argv[1:])
