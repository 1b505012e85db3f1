"""Runs one experiment on a dataset: builds its parts and hands them to the training loop."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from uncrowd import config
from uncrowd.acceleration.compile import compile_layers
from uncrowd.argument_types import require_types
from uncrowd.data.check.training import TrainingData, require_training_data
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.format import BoxKind
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.loader import TrainLoader
from uncrowd.data.splits import Splits
from uncrowd.engine.accelerator import build_accelerator
from uncrowd.engine.log import RunLog
from uncrowd.engine.recompute import recompute_layers
from uncrowd.engine.trackers import TrackerName, require_trackers, start_trackers
from uncrowd.engine.train import Trainer
from uncrowd.errors import InputError
from uncrowd.evaluation.build import require_scorable
from uncrowd.models.build import build_detector
from uncrowd.models.detector import Detector
from uncrowd.ranks import Ranks, peers
from uncrowd.recipes.experiment import Experiment
from uncrowd.runs.fit_memory import fitted
from uncrowd.runs.folder import CONFIG, claimed, copy_run, refuse_a_run
from uncrowd.runs.identity import MAY_CHANGE, MAY_DIFFER, completed, identity
from uncrowd.runs.notes import facts, longer, notes
from uncrowd.runs.scoring import Scoring
from uncrowd.runs.start import initialise
from uncrowd.runs.trained import TrainedRun
from uncrowd.words import counted

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What `config.json` in a run's folder holds: enough to repeat the run or to resume it.

    data: the dataset, or several with commas between them. box: which boxes of CrowdHuman's files to use. classes: the
    class map, None for all classes under their own names. start_from: a weights file, or the folder of a run, that has
    a value for every tensor of the model. new_class_head: its classes may differ from those of the data. log_to: the
    trackers that get the log too.
    """

    experiment: Experiment
    data: str
    box: BoxKind = "fbox"
    classes: dict[str, tuple[str, ...]] | None = None
    start_from: str | None = None
    new_class_head: bool = False
    log_to: tuple[TrackerName, ...] = ()


def begin(
    run: Run,
    folder: Path | None = None,
    *,
    device: str | None = None,
    fit_memory: bool = False,
    dry_run: bool = False,
    say: Say = print,
) -> TrainedRun:
    """Trains from the beginning in a folder that holds no run yet, by default runs/NAME-NUMBER.

    fit_memory: see `fitted`. dry_run: measure a few steps, say what training would take, and write nothing. Raises
    InputError when the folder holds a run, when another process writes into it, and when the data or the configuration
    cannot be used.
    """
    require_trackers(run.log_to)
    accelerator = build_accelerator(device)
    with _claimed(folder, run.experiment.name, accelerator, dry_run=dry_run) as folder:
        if accelerator.is_main_process:
            refuse_a_run(folder)
        return _run(run, folder, accelerator, resume=False, fit_memory=fit_memory, dry_run=dry_run, say=say)


def resume(
    folder: Path,
    *,
    data: str | None = None,
    out: Path | None = None,
    log_to: Sequence[TrackerName] | None = None,
    device: str | None = None,
    fit_memory: bool = False,
    dry_run: bool = False,
    say: Say = print,
    **changes: Any,
) -> TrainedRun:
    """Continues the interrupted run in `folder`, which ends as if it had never been interrupted.

    data: where the data is now. out: the folder of a copy that is continued in place of the run. log_to: other trackers
    than before. changes: new values of the settings in `MAY_CHANGE`. Raises InputError when the folder holds no run,
    when the checkpoint was written with other settings or other data, and as `begin` does.
    """
    saved = saved_run(folder)
    experiment = _changed(saved.experiment, changes)
    run = replace(
        saved,
        experiment=experiment,
        data=saved.data if data is None else data,
        log_to=saved.log_to if log_to is None else tuple(log_to),
    )
    require_trackers(run.log_to)
    accelerator = build_accelerator(device)
    target = folder if out is None or dry_run else out
    with _claimed(target, experiment.name, accelerator, dry_run=dry_run):
        if target != folder and accelerator.is_main_process:
            copy_run(folder, target)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process and (before := saved.experiment.train.epochs) != experiment.train.epochs:
            say(longer(experiment, before))
        return _run(run, target, accelerator, resume=True, fit_memory=fit_memory, dry_run=dry_run, say=say)


def saved_run(folder: Path) -> Run:
    """Returns what `config.json` in the folder of a run holds. Raises InputError when there is none."""
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder} holds no run: there is no {CONFIG} in it; give the folder of a run.")
    return config.load(Run, folder / CONFIG)


@contextmanager
def _claimed(folder: Path | None, name: str, accelerator: Accelerator, *, dry_run: bool) -> Iterator[Path]:
    """Yields the folder of the run, the same on all ranks; rank 0 claims it, unless nothing will be written."""
    if dry_run:
        yield folder or Path("runs") / name
        return
    with claimed(folder, name) if accelerator.is_main_process else nullcontext(folder) as own:
        (same,) = broadcast_object_list([own])
        assert same is not None, "rank 0 has claimed one"
        yield same


def _changed(experiment: Experiment, changes: dict[str, Any]) -> Experiment:
    """Returns the experiment with other settings of training. Raises InputError for one that cannot change."""
    for name in changes.keys() - set(MAY_CHANGE):
        raise InputError(f"A resumed run keeps its {name}; it may change {', '.join(MAY_CHANGE)}.")
    require_types(get_type_hints(type(experiment.train)), changes)
    changed = replace(experiment.train, **changes)
    if changed.epochs < experiment.train.epochs:
        raise InputError(f"epochs is {changed.epochs}; a resumed run keeps its {experiment.train.epochs} or gets more.")
    return replace(experiment, train=changed)


class _Prepared(NamedTuple):
    """A run before its next step. start: in words the origin of its first weights, None if it has a checkpoint."""

    experiment: Experiment
    splits: Splits
    data: TrainingData
    model: Detector
    trainer: Trainer
    start: str | None


def _run(
    run: Run, folder: Path, accelerator: Accelerator, *, resume: bool, fit_memory: bool, dry_run: bool, say: Say
) -> TrainedRun:
    main = accelerator.is_main_process
    say = say if main else _silent
    prepared = _prepare(run, folder, accelerator, resume=resume, fit_memory=fit_memory, say=say)
    experiment, splits, data, model, trainer, start = prepared
    if trainer.is_finished:
        say(f"the run in {folder} is finished, {counted(trainer.position.epoch, 'epoch')}; nothing was changed")
        return TrainedRun(folder, finished=True)
    say(start or f"resumed at epoch {trainer.position.epoch}, step {trainer.position.step}")
    if dry_run:
        say(str(trainer.rehearse()))
        return TrainedRun(folder, finished=False)
    about = facts(splits, data.train, data.scored_on, experiment, model, accelerator)
    ranks = Ranks(accelerator.process_index, accelerator.num_processes)
    run = replace(run, experiment=experiment)
    with _log(run, folder, trainer, goes_on=resume, say=say) if main else nullcontext() as log:
        if log is not None and start is not None:
            log.write("begin", 0, {"start": start, "command": _command(), "about": about})
        with peers(ranks, "--resume goes on from the last checkpoint"):
            scoring = Scoring(experiment, run.start_from, data.val, accelerator, folder, about, log)
            finished = trainer.train(log, scoring)
    if not finished:
        say(f"stopped; go on with `uncrowd train --resume {shlex.quote(str(folder))}`")
        return TrainedRun(folder, finished=False, stopped_by=trainer.stopped_by)
    say(f"report: {folder / 'report.html'}")
    return TrainedRun(folder, finished=True)


def _log(run: Run, folder: Path, trainer: Trainer, *, goes_on: bool, say: Say) -> closing[RunLog]:
    """Opens the log and the runs in trackers, and saves the configuration; only rank 0 does."""
    configuration = config.flat(config.to_dict(run))
    trackers = start_trackers(run.log_to, folder, configuration, goes_on=goes_on, say=say)
    log = RunLog(folder, trackers, start_step=trainer.global_step, evaluates_again=trainer.awaits_evaluation)
    config.save(run, folder / CONFIG)
    return closing(log)


def _prepare(
    run: Run, folder: Path, accelerator: Accelerator, *, resume: bool, fit_memory: bool, say: Say
) -> _Prepared:
    """Opens the data and builds the model and its trainer, from the checkpoint if the run is resumed and has one."""
    checkpoint = folder / "last.safetensors"
    goes_on = resume and checkpoint.is_file()
    splits = open_dataset(run.data, run.box, run.classes)
    say(splits.describe())
    settings = run.experiment.train
    data, findings = require_training_data(splits, settings.seed, settings.max_pixels)
    say(f"scored on {data.scored_on}")
    for finding in findings:
        say(finding.sentence())
    categories = data.train.categories
    experiment = _settled(run.experiment, data.train)
    loader = _loader(experiment, data.train, accelerator)
    from_random = not goes_on and run.start_from is None and experiment.model.backbone.pretrained is None
    for sentence in notes(experiment, data.train, loader.steps_per_epoch, accelerator.device, from_random=from_random):
        say(sentence)

    torch.manual_seed(settings.seed)
    model = build_detector(experiment.model, accelerator.device)
    start = None
    if not goes_on:
        start = initialise(model, categories, experiment.resize, run.start_from, new_class_head=run.new_class_head)
    if settings.recompute:
        recompute_layers(model)
    if settings.compile:
        compile_layers(model, accelerator.device)
        say("the model is compiled with the first step, which takes a minute or more")
    if fit_memory:
        experiment, found = fitted(experiment, model, data.train, accelerator)
        say(found)
    trainer = Trainer(
        model,
        experiment.criterion(),
        loader,
        experiment.train,
        experiment.optim,
        accelerator,
        checkpoint,
        identity(experiment, data.train, data.val),
    )
    if goes_on:
        trainer.resume(may_differ=MAY_DIFFER, completed=completed)
    elif resume:
        say("the run was interrupted before its first checkpoint, so it begins again")
    return _Prepared(experiment, splits, data, model, trainer, start)


def _command() -> str:
    """Returns the command that the user typed, with the name of the program instead of its path."""
    name = Path(sys.argv[0]).name
    return shlex.join([*(["python", "-m", "uncrowd"] if name == "__main__.py" else [name]), *sys.argv[1:]])


def _settled(experiment: Experiment, train_set: DetectionDataset) -> Experiment:
    """Returns the experiment with the number of classes of the data, and their protocol where none was chosen.

    Raises InputError, before a step is taken, when the protocol cannot score these classes.
    """
    protocol, categories = experiment.protocol or train_set.protocol, train_set.categories
    require_scorable(protocol, categories)
    return replace(experiment, model=replace(experiment.model, num_classes=len(categories)), protocol=protocol)


def _loader(experiment: Experiment, dataset: DetectionDataset, accelerator: Accelerator) -> TrainLoader:
    settings = experiment.train
    return TrainLoader(
        dataset,
        experiment.augment,
        seed=settings.seed,
        batch_size=settings.per_rank(accelerator.num_processes),
        epochs=settings.epochs,
        rare_below=settings.rare_below,
        workers=settings.workers,
        max_pixels=settings.max_pixels,
        world_size=accelerator.num_processes,
        rank=accelerator.process_index,
    )


def _silent(text: str) -> None:
    """Prints nothing, for all ranks but the first."""
