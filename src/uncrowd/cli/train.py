"""`uncrowd train [EXPERIMENT] --data D` and `uncrowd train --resume RUN`."""

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Literal

from tyro.conf import arg

from uncrowd import config
from uncrowd.cli.flags import OptionalClasses, OptionalDevice, OptionalPath, parse, require_device
from uncrowd.data.formats.format import BoxKind
from uncrowd.engine.trackers import TrackerName
from uncrowd.errors import InputError
from uncrowd.recipes import EXPERIMENTS, Experiment, experiment_named, small_data
from uncrowd.runs.identity import MAY_CHANGE
from uncrowd.runs.run import saved_run
from uncrowd.runs.start import small_data_from
from uncrowd.runs.train import resume, train
from uncrowd.runs.trained import TrainedRun

OptionalTrackers = Annotated[
    tuple[TrackerName | Literal["none"], ...], arg(metavar="{wandb,mlflow,trackio,none} [...]", help_behavior_hint="")
]


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """Train a detector.

    `uncrowd train --data D` trains on a small dataset of your own. `uncrowd train NAME --data D` trains one of the
    recipes that `uncrowd info` lists, and `uncrowd train NAME --help` shows its settings. `uncrowd train --resume
    RUN` continues an interrupted run. Every setting of the recipe is a flag, shown with the recipe's value.
    """

    # The dataset: its folder, or its annotation file. Several, separated by commas, are read as one. Without a
    # validation split, a tenth is held out. With --resume, where the data of the run is now.
    data: OptionalPath = None
    # Which boxes of CrowdHuman's odgt to use: the full body, its visible part, or the head.
    box: BoxKind = "fbox"
    # Classes to keep: person, or person=pedestrian,rider for two under a new name. Objects of others are left out.
    # Double quotes keep a name with = or a comma together: 'person="man, old",rider'. By default all.
    classes: OptionalClasses = ()
    # Folder for the run. It must not hold one yet. By default runs/NAME-NUMBER. With --resume, a folder for a copy of
    # the run, which is continued in place of it.
    out: OptionalPath = None
    # Folder of an interrupted run to continue with its own settings and data. --train.epochs may add epochs, and
    # --train.accumulate, --train.workers, --train.compile and what is written when may change.
    resume: OptionalPath = None
    # Weights (.safetensors), a run's folder or the name of a detector that comes with uncrowd, to start from. Without
    # NAME, their model is used too. The classes must be the same, the number of proposals need not be.
    start_from: OptionalPath = None
    # Allow other classes in the weights of --start-from: classes of the same name keep their weights, the others start
    # from new ones.
    new_class_head: bool = False
    # Trackers that get the log too: Weights & Biases, MLflow, Trackio. Each needs the extra of its name. With --resume,
    # the trackers from here on, or none.
    log_to: OptionalTrackers = ()
    # Find by trying how many images fit into memory at a time, and raise --train.accumulate until a step does. The
    # batch stays as it is.
    fit_memory: bool = False
    # Take three steps, say what the whole training would take in time and memory, and write nothing.
    dry_run: bool = False
    # Device to compute on, like `uncrowd predict --device`; by default a GPU if there is one.
    device: OptionalDevice = None
    experiment: Annotated[Experiment, arg(name="")] = field(default_factory=small_data)


def main(argv: Sequence[str]) -> int:
    """Trains. Returns 0, or 130 or 143 when Ctrl-C or SIGTERM stopped the run."""
    name, rest = _named(argv)
    known, _ = _KNOWN_FIRST.parse_known_args(rest)
    if known.resume is not None:
        return exit_status(_resume(name, rest, Path(known.resume)))
    experiment = experiment_named(name) if name is not None else small_data_from(known.start_from)
    arguments = _parsed(name, rest, TrainArguments(experiment=experiment))
    if arguments.data is None:
        raise InputError(
            "Name the dataset with --data, a folder or an annotation file; `uncrowd train --help` says more."
        )
    run = train(
        arguments.data,
        arguments.experiment,
        out=arguments.out,
        box=arguments.box,
        classes=arguments.classes or None,
        start_from=arguments.start_from,
        new_class_head=arguments.new_class_head,
        log_to=_trackers(arguments),
        device=arguments.device,
        fit_memory=arguments.fit_memory,
        dry_run=arguments.dry_run,
    )
    return exit_status(run)


def exit_status(run: TrainedRun) -> int:
    """Returns 0, or what a shell expects of a command that a signal stopped."""
    return 0 if run.stopped_by is None else 128 + run.stopped_by


# The values of these flags decide the defaults of the others. Flags without a value are left to the parser of all.
_KNOWN_FIRST = ArgumentParser(add_help=False, allow_abbrev=False)
_KNOWN_FIRST.add_argument("--resume", nargs="?")
_KNOWN_FIRST.add_argument("--start-from", "--start_from", nargs="?")


def _resume(name: str | None, argv: Sequence[str], folder: Path) -> TrainedRun:
    run = saved_run(folder)
    defaults = TrainArguments(experiment=run.experiment, log_to=run.log_to)
    arguments = _parsed(name, argv, defaults)
    changed = {name: new for name, _, new in _differences(run.experiment, arguments.experiment)}
    may_be_given = {"resume": None, "data": None, "out": None, "device": None, "fit_memory": False, "dry_run": False}
    given = replace(arguments, **may_be_given, log_to=defaults.log_to, experiment=defaults.experiment)
    if name is not None or given != defaults or not changed.keys() <= {f"train.{each}" for each in MAY_CHANGE}:
        flags = ", ".join(f"--train.{each.replace('_', '-')}" for each in MAY_CHANGE)
        raise InputError(
            "--resume continues with the run's own settings; it can be given with --data, --out, --log-to, --device, "
            f"--fit-memory, --dry-run, {flags} only."
        )
    return resume(
        folder,
        data=arguments.data,
        out=arguments.out,
        log_to=_trackers(arguments),
        device=arguments.device,
        fit_memory=arguments.fit_memory,
        dry_run=arguments.dry_run,
        **{name.removeprefix("train."): new for name, new in changed.items()},
    )


def _trackers(arguments: TrainArguments) -> list[TrackerName]:
    return [name for name in arguments.log_to if name != "none"]


def _differences(before: Experiment, after: Experiment) -> list[tuple[str, Any, Any]]:
    return config.differences(config.to_dict(before), config.to_dict(after))


def _parsed(name: str | None, argv: Sequence[str], defaults: TrainArguments) -> TrainArguments:
    arguments = parse(TrainArguments, argv, " ".join(["uncrowd train", *([name] if name else [])]), defaults)
    require_device(arguments.device)
    return arguments


def _named(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """Returns the name of a recipe, if the first argument is a name, and the other arguments."""
    if not argv or argv[0].startswith("-"):
        return None, list(argv)
    if argv[0] not in EXPERIMENTS and Path(argv[0]).exists():
        raise InputError(f"{argv[0]} is a file or folder, not a recipe; name the data with --data {quote(argv[0])}.")
    return argv[0], list(argv[1:])
