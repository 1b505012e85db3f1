"""Runs one experiment on someone's data: everything is built here, once, and handed to the engine."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import nn

from uncrowd import config
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.loader import TrainLoader
from uncrowd.data.open import Splits, hold_out, open_splits
from uncrowd.data.results import write_coco_results
from uncrowd.engine.evaluate import detect
from uncrowd.engine.log import RunLog
from uncrowd.engine.report import write_report
from uncrowd.engine.train import Trainer, build_accelerator
from uncrowd.errors import InputError
from uncrowd.evaluation.coco import CocoEvaluator
from uncrowd.evaluation.protocol import Scores
from uncrowd.experiments.experiment import Experiment
from uncrowd.inference.predictor import Predictor
from uncrowd.losses.criterion import SetCriterion
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.models.weights import load_exactly, load_weights, save_weights
from uncrowd.structures import Categories, Detections, PictureId

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run's folder says about it in `config.json`; enough to begin it again, or to go on.

    start_from: a weights file whose every tensor the model starts with.
    """

    experiment: Experiment
    data: str
    start_from: str | None = None


def begin(run: Run, folder: Path, *, device: str | None = None, say: Say = print) -> bool:
    """Trains from the beginning in a folder of its own; returns False where a signal stopped it early.

    Raises InputError when the folder already holds a run, or the data or the configuration cannot be used.
    """
    return _run(run, folder, resume=False, device=device, say=say)


def resume(folder: Path, *, device: str | None = None, say: Say = print) -> bool:
    """Goes on where the run in `folder` was interrupted; it ends as if it had not been."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} holds no run: there is no config.json in it.")
    return _run(config.load(Run, folder / "config.json"), folder, resume=True, device=device, say=say)


def train_and_val(splits: Splits, seed: int) -> tuple[DetectionDataset, DetectionDataset, str]:
    """Returns what to train on, what to score on, and in words where the latter came from.

    Raises InputError when there is nothing to train on.
    """
    if splits.train is None:
        raise InputError(f"{splits.root} has no training split; it has {', '.join(d.split for d in splits.present)}.")
    if splits.val is not None:
        train, val, words = splits.train, splits.val, "the data set's own validation split"
    else:
        train, val = hold_out(splits.train, seed=seed)
        words = f"{len(val)} pictures held out of the training split (10%, seed {seed}): there is no validation split"
    if not len(train.boxes):
        raise InputError(f"{train.source} has no boxes, so there is nothing to learn; `uncrowd check` says more.")
    return train, val, words


def _run(run: Run, folder: Path, *, resume: bool, device: str | None, say: Say) -> bool:
    accelerator = build_accelerator(device)
    main = accelerator.is_main_process
    say = say if main else _silent
    if main and not resume and (folder / "config.json").exists():
        raise InputError(f"{folder} already holds a run; go on with `--resume {folder}`, or name another with --out.")
    splits = open_splits(Path(run.data))
    say(splits.describe())
    experiment = run.experiment
    train_set, val_set, val_words = train_and_val(splits, experiment.train.seed)
    say(f"scored on {val_words}")
    categories = train_set.categories
    experiment = replace(experiment, model=replace(experiment.model, num_classes=len(categories)))
    most = int(train_set.counts.max())
    if most > experiment.model.proposals:
        say(
            f"NOTE: a picture has up to {most} boxes, more than the {experiment.model.proposals} proposals; "
            "those left over cannot be found. Raise --model.proposals."
        )

    torch.manual_seed(experiment.train.seed)
    model = SparseRCNN(experiment.model)
    start = None if resume else _initialise(model, run, categories)
    if start is not None:
        say(start)
    micro_batch = experiment.train.per_rank(accelerator.num_processes)
    loader = TrainLoader(
        train_set,
        experiment.augment,
        seed=experiment.train.seed,
        batch_size=micro_batch,
        workers=experiment.train.workers,
        world_size=accelerator.num_processes,
        rank=accelerator.process_index,
    )
    facts = {
        "configuration": config.to_dict(experiment),
        "data": {"pictures": len(train_set), "boxes": len(train_set.boxes), "categories": config.to_dict(categories)},
    }
    trainer = Trainer(
        model,
        SetCriterion(experiment.loss),
        loader,
        experiment.train,
        experiment.optim,
        accelerator,
        folder / "last.safetensors",
        facts,
    )
    if resume:
        trainer.resume()
        say(f"resumed at epoch {trainer.position.epoch}, step {trainer.position.step}")
    log = RunLog(folder, start_step=trainer.global_step) if main else None
    if log is not None and not resume:
        config.save(replace(run, experiment=experiment), folder / "config.json")
        log.write("begin", 0, {"start": start, "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])})
    events = _Scoring(experiment, val_set, accelerator, folder, log)
    try:
        finished = trainer.train(log, events)
        if finished and events.last is None:  # it had finished before it was resumed
            events.score(trainer.evaluated_model)
    finally:
        if log is not None:
            log.close()
    if not main:
        return finished
    if not finished:
        say(f"stopped as asked; go on with `uncrowd train --resume {folder}`")
        return False
    save_weights(folder / "weights.safetensors", _bare(trainer.evaluated_model), categories, events.preprocessing)
    assert events.last is not None
    report = write_report(
        folder,
        val_set,
        events.last.detections,
        events.last.scores,
        _facts(splits, train_set, val_words, experiment, model, accelerator),
    )
    say(f"report: {report}")
    return True


class _Scored(NamedTuple):
    detections: dict[PictureId, Detections]
    scores: Scores


class _Scoring:
    """Scores the model on the validation set through the same path as `eval` and `predict`, and keeps the best."""

    def __init__(
        self,
        experiment: Experiment,
        dataset: DetectionDataset,
        accelerator: Accelerator,
        folder: Path,
        log: RunLog | None,
    ):
        self.experiment, self.dataset, self.accelerator = experiment, dataset, accelerator
        self.folder, self.log = folder, log
        self.preprocessing = config.to_dict(experiment.resize)
        self.evaluator = CocoEvaluator(max_dets=max_dets(experiment.model.proposals))
        self.last: _Scored | None = None

    def evaluate(self, model: nn.Module, epoch: int, step: int) -> float | None:
        """Logs all scores and returns the headline."""
        scored = self.score(model)
        if self.log is not None:
            self._record(scored, epoch, step)
        return scored.scores.main

    def score(self, model: nn.Module) -> _Scored:
        """Scores without logging; `last` keeps the result."""
        predictor = Predictor(
            _bare(model),
            self.dataset.categories,
            self.experiment.resize,
            self.accelerator.device,
            bf16=self.experiment.train.bf16,
        )
        settings = self.experiment.train
        detected = detect(
            predictor,
            self.dataset,
            batch_size=settings.per_rank(self.accelerator.num_processes) // settings.accumulate,
            workers=settings.workers,
            accelerator=self.accelerator,
        )
        scores = self.evaluator.evaluate(self.dataset, detected.detections, self.dataset.categories)
        self.last = _Scored(detected.detections, scores)
        return self.last

    def improved(self, model: nn.Module, epoch: int, step: int) -> None:
        """Keeps the deployable weights."""
        if self.accelerator.is_main_process:
            save_weights(self.folder / "best.safetensors", _bare(model), self.dataset.categories, self.preprocessing)

    def _record(self, scored: _Scored, epoch: int, step: int) -> None:
        assert self.log is not None
        detections, scores = scored
        values: dict[str, Any] = {"epoch": epoch, **scores.values, "per_class": scores.per_class}
        self.log.write("eval", step, values)
        self.log.say(f"after epoch {epoch}, on {len(self.dataset)} pictures ({self.dataset.split}):\n{scores.table()}")
        write_coco_results(self.folder / "detections.json", detections)


def _facts(
    splits: Splits,
    train_set: DetectionDataset,
    val_words: str,
    experiment: Experiment,
    model: SparseRCNN,
    accelerator: Accelerator,
) -> dict[str, str]:
    """What was trained on what, in words."""
    device = accelerator.device
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {
        "Data": splits.describe(),
        "Trained on": f"{len(train_set):,} pictures with {len(train_set.boxes):,} boxes",
        "Scored on": val_words,
        "Experiment": experiment.name,
        "Model": (
            f"Sparse R-CNN on {experiment.model.backbone.name}, {experiment.model.stages} stages, "
            f"{experiment.model.proposals} proposals, {parameters / 1e6:.1f} million parameters"
        ),
        "Device": device_name if accelerator.num_processes == 1 else f"{accelerator.num_processes} x {device_name}",
        "Versions": f"uncrowd {version('uncrowd')}, torch {torch.__version__}",
    }


def max_dets(proposals: int) -> tuple[int, ...]:
    """COCO's (1, 10, 100), and all detections where a model reports more."""
    return (1, 10, 100) if proposals <= 100 else (1, 10, 100, proposals)


def _initialise(model: SparseRCNN, run: Run, categories: Categories) -> str:
    if run.start_from is None:
        return f"backbone: {model.backbone.load_pretrained()}"
    weights = load_weights(Path(run.start_from))
    if weights.categories.names != categories.names:
        raise InputError(
            f"{run.start_from} knows the classes {', '.join(weights.categories.names)}, the data has "
            f"{', '.join(categories.names)}; start from weights of the same classes."
        )
    load_exactly(model, weights.model.state_dict(), run.start_from)
    return f"all weights from {run.start_from}"


def _bare(model: nn.Module) -> SparseRCNN:
    assert isinstance(model, SparseRCNN)
    return model


def _silent(text: str) -> None:
    """What ranks other than the first say."""
