"""The training loop. It receives built objects and calls `Events` between epochs; it knows no model by name."""

import signal
import time
from collections.abc import Callable, Container
from itertools import chain, count
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from uncrowd.data.loader import TrainLoader
from uncrowd.engine.checkpoint import Facts, load_checkpoint, save_checkpoint
from uncrowd.engine.forecast import Forecast, StepTimer, duration, peak_memory
from uncrowd.engine.learner import Learner, Stepped
from uncrowd.engine.log import RunLog
from uncrowd.engine.optim import OptimConfig, learning_rate
from uncrowd.engine.position import Position, Progress, read_progress
from uncrowd.engine.stop import StopRequest
from uncrowd.engine.train_config import TrainConfig
from uncrowd.losses.criterion import Losses
from uncrowd.structures import Batch
from uncrowd.words import counted, listed


@runtime_checkable
class Events(Protocol):
    """What a run does after its epochs. Every rank calls these methods."""

    def evaluate(self, model: nn.Module, epoch: int, step: int) -> float | None:
        """Returns the score of the model after `epoch` epochs, higher is better; None if there is no score."""

    def improved(self, model: nn.Module) -> None:
        """Is called when the score is the best so far."""

    def finished(self, model: nn.Module) -> None:
        """Is called after the last epoch was scored, and again if the run was killed before its last checkpoint.

        The last epoch is an earlier one where training ends early.
        """


class Trainer:
    """Trains a model for a number of epochs. Everything that changes meanwhile is in the checkpoint."""

    def __init__(
        self,
        model: nn.Module,
        criterion: Callable[..., Losses],
        loader: TrainLoader,
        config: TrainConfig,
        optim: OptimConfig,
        accelerator: Accelerator,
        checkpoint: Path,
        facts: Facts,
    ):
        """checkpoint: the file to write. facts: see `save_checkpoint`."""
        self.config, self.optim, self.accelerator = config, optim, accelerator
        self.loader, self.checkpoint, self.facts = loader, checkpoint, facts
        self.learner = Learner(model, criterion, config, optim, accelerator)
        self.position = Position(0, 0)
        self.best: float | None = None
        self.since_best = 0
        self.ended = False
        self._stop = StopRequest()
        self._unreadable: set[str] = set()

    @property
    def global_step(self) -> int:
        """The number of steps since the run began."""
        return self.position.epoch * self.loader.steps_per_epoch + self.position.step

    @property
    def steps_left(self) -> int:
        """The number of steps from here to the end of the last epoch."""
        return self.config.epochs * self.loader.steps_per_epoch - self.global_step

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done and scored, or training has ended early and has no more patience since."""
        ended_early = self.ended and self.position.step == 0 and self._ends_early
        return self.position.epoch >= self.config.epochs or ended_early

    @property
    def _ends_early(self) -> bool:
        """Whether as many scores as the run has patience for were not better than the best."""
        return self.config.patience is not None and self.since_best >= self.config.patience

    @property
    def awaits_evaluation(self) -> bool:
        """Whether all steps of an epoch are done, but not yet its evaluation."""
        return self.position.step == self.loader.steps_per_epoch

    @property
    def stopped_by(self) -> int:
        """The signal that stopped `train`; SIGTERM if only another rank received one."""
        return self._stop.signal or signal.SIGTERM

    def resume(self, may_differ: Container[str] = (), completed: Callable[[Facts], Facts] = dict) -> None:
        """Restores the state in the checkpoint. may_differ, completed: see `load_checkpoint`.

        Raises InputError when the checkpoint belongs to another run, or when its position is none that a run can have.
        """
        progress = load_checkpoint(
            self.checkpoint,
            *self.learner.state,
            facts=self.facts,
            may_differ=may_differ,
            completed=completed,
        )
        limits = self.config.epochs, self.loader.steps_per_epoch
        self.position, self.best, self.since_best, self.ended = read_progress(progress, *limits, str(self.checkpoint))

    def rehearse(self) -> Forecast:
        """Measures the first steps and writes nothing. The trainer must not be used afterwards."""
        timer = StepTimer(self.accelerator.device)
        for batch in chain.from_iterable(map(self.loader.epoch, count(self.position.epoch))):
            self._step(batch)
            forecast = self._forecast(batch, timer)
            if forecast is not None:
                return forecast
        raise AssertionError("epochs never end")

    def train(self, log: RunLog | None, events: Events) -> bool:
        """Trains to the end and returns True, or False if SIGTERM or Ctrl-C stopped it.

        The end is that of the last epoch, or an earlier one after which the score has not been better for long enough.

        In both cases the checkpoint is written. log: None on all ranks but the first. Raises NonFiniteError when a
        loss or a gradient is not finite, and InputError when memory runs out; both name the step and its images.
        """
        with self._stop:
            timer = StepTimer(self.accelerator.device)
            while not self.is_finished:
                self.ended = False
                finished_epoch = self._train_epoch(log, timer)
                timer = None  # because an evaluation would be timed with the next step
                self._save()  # so that after a kill in the evaluation, no step has to be repeated
                if not finished_epoch:
                    return False
                epoch = self.position.epoch + 1
                if epoch % self.config.evaluate_every == 0 or epoch == self.config.epochs:
                    self._evaluate(events, epoch)
                    self.ended = self._ends_early
                    if self.ended and epoch < self.config.epochs:
                        self._say_early_end(log, epoch)
                    if self.ended or epoch == self.config.epochs:
                        events.finished(self.learner.evaluated_model)
                self.position = Position(epoch, 0)
                self._save()
        return True

    def _train_epoch(self, log: RunLog | None, timer: StepTimer | None) -> bool:
        epoch, total = self.position.epoch, self.config.epochs * self.loader.steps_per_epoch
        images, waited, since = 0, 0.0, time.perf_counter()
        unreadable: set[str] = set()
        batches = iter(self.loader.epoch(epoch, self.position.step))
        while True:
            before = time.perf_counter()
            batch = next(batches, None)
            waited += time.perf_counter() - before
            if batch is None:
                self._say_unreadable(log, gather_object(sorted(unreadable)))
                return True
            unreadable |= set(batch.skipped)
            taken = self._step(batch)
            self.position = Position(epoch, self.position.step + 1)
            step, images = self.global_step, images + self.config.batch_size
            forecast = self._forecast(batch, timer) if timer is not None else None
            if forecast is not None and log is not None:
                log.say(str(forecast))
            if step % self.config.log_every == 0 or step == total or step == 1:
                seconds = time.perf_counter() - since
                self._report(log, taken, images / seconds, waited / seconds)
                images, waited, since = 0, 0.0, time.perf_counter()
            elif log is not None:
                log.progress(step, total)
            if taken.stop:
                return False
            if step % self.config.checkpoint_every == 0:
                self._save()

    def _forecast(self, batch: Batch, timer: StepTimer) -> Forecast | None:
        """Counts a step. Returns the forecast once, after the last step that is measured."""
        height, width = batch.images.shape[-2:]
        measured = timer.step_done((height, width))
        if measured is None:
            return None
        seconds, size = measured
        first, epochs, every = self.position.epoch + 1, self.config.epochs, self.config.evaluate_every
        return Forecast(
            images=self.config.batch_size,
            steps=self.steps_left,
            evaluations=sum(epoch % every == 0 or epoch == epochs for epoch in range(first, epochs + 1)),
            seconds=seconds,
            memory=peak_memory(self.accelerator.device),
            size=size,
        )

    def _step(self, batch: Batch) -> Stepped:
        rate = learning_rate(self.optim, self.global_step, self.loader.steps_per_epoch, self.config.batch_size)
        return self.learner.step(batch, self.global_step, rate, stop=self._stop.signal is not None)

    def _evaluate(self, events: Events, epoch: int) -> None:
        score = events.evaluate(self.learner.evaluated_model, epoch, self.global_step)
        if score is None:
            return
        self.since_best += 1
        if self.best is None or score > self.best:
            self.best, self.since_best = score, 0
            events.improved(self.learner.evaluated_model)

    def _say_early_end(self, log: RunLog | None, epoch: int) -> None:
        if log is not None:
            reason = f"no better score than {self.best:.4g} in the last {counted(self.since_best, 'evaluation')}"
            log.write("stop", self.global_step, {"epoch": epoch, "reason": reason})
            log.say(f"training ends early, after epoch {epoch} of {self.config.epochs}: {reason}")

    def _say_unreadable(self, log: RunLog | None, reasons: list[str]) -> None:
        """Says once which images could not be read, and why. reasons: those of all ranks in this epoch."""
        new = [reason for reason in reasons if reason not in self._unreadable]
        self._unreadable |= set(new)
        if log is not None and new:
            many = counted(len(new), "image")
            log.say(f"{many} cannot be read, and others took their places:{listed(new, 10)}")

    def _report(self, log: RunLog | None, taken: Stepped, throughput: float, waiting: float) -> None:
        """Logs the losses of a step, averaged over the ranks. throughput: images per second. waiting: share of time."""
        losses = taken.losses
        terms = torch.stack([losses.total, losses.class_[-1], losses.l1[-1], losses.giou[-1]])
        terms = self.accelerator.reduce(terms, "mean")
        assert isinstance(terms, Tensor)
        if log is None:
            return
        step, total = self.global_step, self.config.epochs * self.loader.steps_per_epoch
        loss, *last_stage, gradient_norm = [*terms.tolist(), taken.norm.item()]
        values = {
            "epoch": step / self.loader.steps_per_epoch,
            "loss": loss,
            **dict(zip(("class", "l1", "giou"), last_stage, strict=True)),
            "gradient_norm": gradient_norm,
            "learning_rate": taken.learning_rate,
            "images_per_second": throughput,
            "waiting_for_data": waiting,
        }
        log.write("train", step, values)
        remaining = (total - step) * self.config.batch_size / throughput
        speed = f"{throughput:.1f} images/s  {duration(remaining / 3600)} left"
        log.progress(step, total, f"epoch {values['epoch']:.2f}  loss {loss:.3f}  {speed}")

    def _save(self) -> None:
        self.learner.require_finite()
        if self.accelerator.is_main_process:
            progress = Progress(self.position, self.best, self.since_best, self.ended)._asdict()
            save_checkpoint(self.checkpoint, *self.learner.state, facts=self.facts, progress=progress)
