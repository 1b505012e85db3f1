"""Runs one experiment on a dataset: builds all parts once and hands them to the engine."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from uncrowd import config
from uncrowd.acceleration.compile import compile_layers
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.format import BoxKind
from uncrowd.data.formats.open import Splits, hold_out, open_dataset
from uncrowd.data.loader import TrainLoader
from uncrowd.engine.accelerator import build_accelerator
from uncrowd.engine.log import RunLog
from uncrowd.engine.train import Trainer
from uncrowd.errors import InputError
from uncrowd.evaluation.build import require_scorable
from uncrowd.losses.criterion import SetCriterion
from uncrowd.models.build import build_detector
from uncrowd.models.detector import Detector
from uncrowd.ops.triton_available import lacking_for_triton
from uncrowd.paper.expected import expected_in_words
from uncrowd.recipes.experiment import Experiment
from uncrowd.runs.identity import identity
from uncrowd.runs.scoring import Scoring
from uncrowd.runs.start import initialise
from uncrowd.structures import Categories
from uncrowd.words import counted

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What `config.json` in a run's folder holds: enough to repeat the run or to resume it.

    box: which boxes of CrowdHuman's files to use. start_from: a weights file with a value for every tensor of the
    model. new_class_head: that file may have been trained on other classes than those of the data.
    """

    experiment: Experiment
    data: str
    box: BoxKind = "fbox"
    start_from: str | None = None
    new_class_head: bool = False


def begin(run: Run, folder: Path, *, device: str | None = None, dry_run: bool = False, say: Say = print) -> bool:
    """Trains from the beginning in a folder of its own. Returns False where a signal stopped it before the end.

    dry_run: measure a few steps, say what training would take, write nothing and return False. Raises InputError when
    the folder already holds a run, or the data or the configuration cannot be used.
    """
    return _run(run, folder, resume=False, device=device, dry_run=dry_run, say=say)


def resume(folder: Path, *, device: str | None = None, dry_run: bool = False, say: Say = print) -> bool:
    """Continues the interrupted run in `folder`, which ends as if it had never been interrupted.

    Returns as `begin` does. Raises InputError when the folder holds no run, or when the checkpoint was written with
    other settings or other data.
    """
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} holds no run: there is no config.json in it.")
    run = config.load(Run, folder / "config.json")
    return _run(run, folder, resume=True, device=device, dry_run=dry_run, say=say)


def train_and_val(splits: Splits, seed: int) -> tuple[DetectionDataset, DetectionDataset, str]:
    """Returns the training set, the validation set, and a sentence that says where the validation set comes from.

    Raises InputError when there is nothing to train on.
    """
    if not any(dataset.annotated for dataset in splits.present):
        raise InputError(f"{splits.root} has no ground truth, so there is nothing to learn; give the annotations too.")
    if splits.train is None:
        raise InputError(f"{splits.root} has no training split; it has {', '.join(d.split for d in splits.present)}.")
    if splits.val is not None:
        train, val, words = splits.train, splits.val, "the dataset's own validation split"
    else:
        train, val = hold_out(splits.train, seed=seed)
        held_out = f"{counted(len(val), 'image')} held out of the training split (10%, seed {seed})"
        words = f"{held_out}: there is no validation split"
    if train.ignore.all():
        raise InputError(f"{train.source} has no boxes, so there is nothing to learn; `uncrowd check` says more.")
    return train, val, words


def _run(run: Run, folder: Path, *, resume: bool, device: str | None, dry_run: bool, say: Say) -> bool:
    accelerator = build_accelerator(device)
    main = accelerator.is_main_process
    say = say if main else _silent
    if main and not resume and (folder / "config.json").exists():
        raise InputError(f"{folder} already holds a run; go on with `--resume {folder}`, or name another with --out.")
    checkpoint = folder / "last.safetensors"
    goes_on = resume and checkpoint.is_file()
    splits = open_dataset(Path(run.data), run.box)
    say(splits.describe())
    train_set, val_set, val_words = train_and_val(splits, run.experiment.train.seed)
    say(f"scored on {val_words}")
    categories = train_set.categories
    experiment = _settled(run.experiment, splits, categories)
    loader = _loader(experiment, train_set, accelerator)
    for sentence in _notes(experiment, train_set, loader.steps_per_epoch, accelerator.device):
        say(sentence)

    torch.manual_seed(experiment.train.seed)
    model = build_detector(experiment.model, accelerator.device)
    start = None if goes_on else initialise(model, categories, run.start_from, new_class_head=run.new_class_head)
    if experiment.train.compile:
        compile_layers(model, accelerator.device)
        say("the model is compiled with the first step, which takes a minute or more")
    trainer = Trainer(
        model,
        SetCriterion(experiment.loss),
        loader,
        experiment.train,
        experiment.optim,
        accelerator,
        checkpoint,
        identity(experiment, train_set, val_set),
    )
    if goes_on:
        trainer.resume()
        if trainer.is_finished:
            say(f"the run in {folder} is finished, {counted(trainer.position.epoch, 'epoch')}; nothing was changed")
            return True
        say(f"resumed at epoch {trainer.position.epoch}, step {trainer.position.step}")
    elif resume:
        say("the run was interrupted before its first checkpoint, so it begins again")
    if dry_run:
        if start is not None:
            say(start)
        say(str(trainer.rehearse()))
        return False
    log = None
    if main:
        log = RunLog(folder, start_step=trainer.global_step, evaluates_again=trainer.awaits_evaluation)
    if start is not None:
        say(start)
        if log is not None:
            config.save(replace(run, experiment=experiment), folder / "config.json")
            log.write("begin", 0, {"start": start, "command": _command()})
    facts = _facts(splits, train_set, val_words, experiment, model, accelerator)
    try:
        finished = trainer.train(log, Scoring(experiment, run.start_from, val_set, accelerator, folder, facts, log))
    finally:
        if log is not None:
            log.close()
    say(f"report: {folder / 'report.html'}" if finished else f"stopped; go on with `uncrowd train --resume {folder}`")
    return finished


def _command() -> str:
    """The command that the user typed, with the program's name in place of its path."""
    name = Path(sys.argv[0]).name
    return shlex.join([*(["python", "-m", "uncrowd"] if name == "__main__.py" else [name]), *sys.argv[1:]])


def _settled(experiment: Experiment, splits: Splits, categories: Categories) -> Experiment:
    """Returns the experiment with the number of classes of the data, and their protocol where none was chosen.

    Raises InputError, before a step is taken, when the protocol cannot score these classes.
    """
    protocol = experiment.protocol or splits.format.protocol
    require_scorable(protocol, categories)
    return replace(experiment, model=replace(experiment.model, num_classes=len(categories)), protocol=protocol)


def _notes(experiment: Experiment, dataset: DetectionDataset, steps_per_epoch: int, device: torch.device) -> list[str]:
    """What the user should know before training begins."""
    notes = []
    objects = np.concatenate([np.zeros(1, np.int64), np.cumsum(~dataset.ignore)])
    most = int(np.diff(objects[dataset.offsets]).max())
    if most > experiment.model.proposals:
        notes.append(
            f"NOTE: an image has up to {most} boxes, more than the {experiment.model.proposals} proposals; "
            "those left over cannot be found. Raise --model.proposals."
        )
    optim, batch_size, epochs = experiment.optim, experiment.train.batch_size, experiment.train.epochs
    last_step = epochs * steps_per_epoch - 1
    late = [f"{milestone:g}" for milestone in optim.milestones if milestone * steps_per_epoch > last_step]
    if late:
        notes.append(
            f"NOTE: training ends after {counted(epochs, 'epoch')}, before the learning rate falls at "
            f"{' and '.join(late)}; set earlier --optim.milestones."
        )
    if optim.scale_to_batch is not None:
        scaled = optim.learning_rate * batch_size / optim.scale_to_batch
        notes.append(
            f"learning rate {scaled:g}: {optim.learning_rate:g} is for batches of {optim.scale_to_batch}, "
            f"scaled to batches of {batch_size}"
        )
    lacking = _lacking_for_kernels(device)
    if lacking is not None:
        notes.append(f"NOTE: {lacking} is missing here, so the GPU runs without uncrowd's own kernels, more slowly.")
    notes.append(
        f"training: {counted(len(dataset), 'image')}, {counted(epochs, 'epoch')} of "
        f"{counted(steps_per_epoch, 'step')}, {counted(epochs * steps_per_epoch, 'step')} in all"
    )
    return notes


def _lacking_for_kernels(device: torch.device) -> str | None:
    """Returns in words what our own kernels lack on this device; None where nothing is missing, and on a CPU."""
    return lacking_for_triton() if device.type == "cuda" else None


def _loader(experiment: Experiment, dataset: DetectionDataset, accelerator: Accelerator) -> TrainLoader:
    settings = experiment.train
    return TrainLoader(
        dataset,
        experiment.augment,
        seed=settings.seed,
        batch_size=settings.per_rank(accelerator.num_processes),
        workers=settings.workers,
        max_pixels=settings.max_pixels,
        world_size=accelerator.num_processes,
        rank=accelerator.process_index,
    )


def _facts(
    splits: Splits,
    train_set: DetectionDataset,
    val_words: str,
    experiment: Experiment,
    model: Detector,
    accelerator: Accelerator,
) -> dict[str, str]:
    """The model and its data in words, for the report."""
    device = accelerator.device
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    facts = {
        "Data": splits.describe(),
        "Trained on": f"{len(train_set):,} images with {len(train_set.boxes):,} boxes",
        "Scored on": val_words,
        "Recipe": experiment.name,
        "Model": f"{experiment.model.in_words()}, {parameters / 1e6:.1f} million parameters",
        "Device": device_name if accelerator.num_processes == 1 else f"{accelerator.num_processes} x {device_name}",
        "Versions": f"uncrowd {version('uncrowd')}, torch {torch.__version__}",
    }
    lacking = _lacking_for_kernels(device)
    if lacking is not None:
        facts["Kernels"] = f"without uncrowd's own: {lacking} is missing"
    expected = expected_in_words(experiment)
    return facts if expected is None else {**facts, "Expected by the paper": expected}


def _silent(text: str) -> None:
    """Ranks other than the first print nothing."""
