"""Training as one call, from Python and from the command line."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from uncrowd import config
from uncrowd.argument_types import checked_types
from uncrowd.data.classes import ClassMap, class_map
from uncrowd.data.formats.format import BoxKind
from uncrowd.data.formats.layout import Data, dataset_paths
from uncrowd.engine.trackers import TrackerName
from uncrowd.recipes import Experiment, experiment_named
from uncrowd.runs import run as runs
from uncrowd.runs.run import Run, Say
from uncrowd.runs.start import small_data_from
from uncrowd.runs.trained import TrainedRun
from uncrowd.weights.packaged import located

# What to give as log_to.
TRACKERS = "a list of wandb, mlflow and trackio"


@checked_types(data="a folder, an annotation file, or a list of them", log_to=TRACKERS)
def train(
    data: Data,
    experiment: Experiment | str | None = None,
    *,
    out: str | Path | None = None,
    box: BoxKind = "fbox",
    classes: ClassMap | Sequence[str] | None = None,
    start_from: str | Path | None = None,
    new_class_head: bool = False,
    log_to: Sequence[TrackerName] = (),
    device: str | None = None,
    fit_memory: bool = False,
    dry_run: bool = False,
    say: Say = print,
) -> TrainedRun:
    """Trains a detector on a dataset and returns the run.

    data: the dataset's folder or annotation file, or a list of several that are read as one. If it has no validation
    split, a tenth of its images is held out. experiment: what to train and how, or the name of a recipe that `uncrowd
    info` lists. By default it is `uncrowd.recipes.small_data()`, with the model of `start_from` if that is given. The
    number of classes is that of the data. out: a folder that holds no run yet; by default runs/NAME-NUMBER. box: which
    boxes of CrowdHuman's odgt to use. classes: the classes to keep, as in `open_dataset`; by default all. start_from:
    weights, a run's folder or the name of a detector that comes with uncrowd; the model may have other proposals than
    these. new_class_head: the weights may have other classes. log_to: trackers that get the log too, of "wandb",
    "mlflow" and "trackio". device: "cpu", "cuda", "cuda:1" or "mps"; by default the GPU if there is one. fit_memory:
    find by trying how many images fit into memory at a time, and raise `train.accumulate` until a step does; the batch
    stays as it is. dry_run: take a few steps, say what training would take, and write nothing. say: receives each
    sentence for the user before the first step and after the last one.

    Raises InputError when data, experiment, weights or folder cannot be used and when memory runs out, NonFiniteError
    when a loss or a gradient is not finite, and PeerLostError when another process of a distributed run ends early.
    """
    # Unlike `Path.resolve`, `realpath` takes a link that leads to itself; the reader then refuses it in a sentence.
    start = None if start_from is None else os.path.realpath(located(Path(start_from)))
    if isinstance(experiment, str):
        experiment = experiment_named(experiment)
    elif experiment is None:
        experiment = small_data_from(start)
    run = Run(
        # as the run keeps it; a setting of another type is said here
        experiment=config.from_dict(Experiment, config.to_dict(experiment), "The experiment"),
        data=_real(data),
        box=box,
        classes=None if classes is None else class_map(classes),
        start_from=start,
        new_class_head=new_class_head,
        log_to=tuple(log_to),
    )
    folder = None if out is None else Path(out)
    return runs.begin(run, folder, device=device, fit_memory=fit_memory, dry_run=dry_run, say=say)


@checked_types(folder="the folder of a run", log_to=TRACKERS)
def resume(
    folder: str | Path,
    *,
    data: Data | None = None,
    out: str | Path | None = None,
    log_to: Sequence[TrackerName] | None = None,
    device: str | None = None,
    fit_memory: bool = False,
    dry_run: bool = False,
    say: Say = print,
    **changes: Any,
) -> TrainedRun:
    """Continues the interrupted run in `folder` with its own data and settings, and returns it.

    With the settings unchanged, the result equals that of an uninterrupted run to the bit. A finished run stays as it
    is. data: where the data is now; its contents must be the same. out: a folder for a copy of the run, which is
    continued in its place, such as one that can be written. log_to: the trackers from here on, by default those of the
    run. changes: settings of `train` that may change: `epochs`, which can only grow, `accumulate`, `compile`,
    `recompute`, `patience`, `workers`, `max_pixels`, `evaluate_every`, `checkpoint_every` and `log_every`. device,
    fit_memory, dry_run, say: see `train`.

    Raises InputError when the folder holds no run, when another process is writing into it, or when its checkpoint was
    written with other settings or other data.
    """
    return runs.resume(
        Path(folder),
        data=None if data is None else _real(data),
        out=None if out is None else Path(out),
        log_to=log_to,
        device=device,
        fit_memory=fit_memory,
        dry_run=dry_run,
        say=say,
        **changes,
    )


def _real(data: Data) -> str:
    """Where the data is, wherever the run is resumed; commas separate several datasets."""
    return ",".join(os.path.realpath(path) for path in dataset_paths(data))
