"""What learns, and one step of it: the gradient of a batch over all ranks, and an update of weights and average."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from uncrowd.devices import send
from uncrowd.engine.accelerator import distribute
from uncrowd.engine.average import averaged, update_average
from uncrowd.engine.failed_step import StepRecord, explain_step_out_of_memory, not_finite
from uncrowd.engine.micro_batches import split, sum_losses, to_device
from uncrowd.engine.optim import OptimConfig, build_optimizer
from uncrowd.engine.train_config import TrainConfig
from uncrowd.engine.watch import Watch
from uncrowd.errors import NonFiniteError
from uncrowd.losses.criterion import Losses
from uncrowd.structures import Batch, Target


class Stepped(NamedTuple):
    """A step that was taken: its losses on this rank, and the norm of the gradient before it was clipped.

    stop: whether a rank was asked to stop.
    """

    losses: Losses
    norm: Tensor
    learning_rate: float
    stop: bool


class Learner:
    """A model, its optimiser and the average of its weights. It knows no epochs, files or logs."""

    def __init__(
        self,
        model: nn.Module,
        criterion: Callable[..., Losses],
        config: TrainConfig,
        optim: OptimConfig,
        accelerator: Accelerator,
    ):
        self.criterion, self.config, self.optim, self.accelerator = criterion, config, optim, accelerator
        self.bare_model = model.to(accelerator.device)
        self.optimizer = build_optimizer(optim, model)
        self.average = averaged(model) if config.ema_decay is not None else None
        self.model = distribute(model, accelerator)
        # The loss and the gradient norm of the last step, and whether a rank was asked to stop in this one.
        self._watch = Watch(3, accelerator.device)
        self._last: StepRecord | None = None

    @property
    def evaluated_model(self) -> nn.Module:
        """The model to score and deploy: the average of the weights if there is one."""
        return self.average if self.average is not None else self.bare_model

    @property
    def state(self) -> tuple[nn.Module, Optimizer, nn.Module | None]:
        """What a checkpoint keeps of it: the model, the optimiser, and the average if there is one."""
        return self.bare_model, self.optimizer, self.average

    def step(self, batch: Batch, number: int, rate: float, *, stop: bool = False) -> Stepped:
        """Makes one update.

        number: of the step, counted from 0 over the run. rate: the learning rate. stop: whether this rank was asked to
        stop. Raises NonFiniteError for a number that is not finite, and InputError when memory runs out; both name the
        step and its images. The numbers of the previous step are checked here, because the matching waits for the
        device anyway.
        """
        # Each step and rank has its own seed, so that dropout draws the same numbers in a resumed run.
        entropy = (self.config.seed, number, self.accelerator.process_index)
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate_factor"]
        num_boxes = self._num_boxes(batch, stop)
        self._watch.send()
        record = StepRecord(number, rate, batch.ids)
        with explain_step_out_of_memory(number, batch, self.config):
            losses = self._backward(batch, num_boxes, record)
            trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            norm = nn.utils.clip_grad_norm_(trained, self.optim.clip_norm)
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None and self.config.ema_decay is not None:
            update_average(self.average, self.bare_model, self.config.ema_decay, number)
        self._watch.values[:2] = torch.stack([losses.total.float(), norm.float()])
        self._last = record
        return Stepped(losses, norm, rate, self._watch.seen()[2] > 0)

    def require_finite(self) -> None:
        """Raises NonFiniteError if the loss or the gradient of the last step is not finite. Waits for the device."""
        self._require_finite(self._watch.values.tolist())

    def _num_boxes(self, batch: Batch, stop: bool) -> float | Tensor:
        """Returns the mean number of objects of a rank, at least 1. The ranks also agree here on whether to stop."""
        boxes = float(sum(len(target.labels) for target in batch.targets))
        if self.accelerator.num_processes == 1:
            self._watch.values[2:].fill_(float(stop))  # assigning a number would wait for the device
            return max(boxes, 1.0)
        local = send(torch.tensor([boxes, float(stop)]), self.accelerator.device)
        boxes_and_stop = self.accelerator.reduce(local, "sum")
        assert isinstance(boxes_and_stop, Tensor)
        self._watch.values[2] = boxes_and_stop[1]
        return (boxes_and_stop[0] / self.accelerator.num_processes).clamp(min=1)

    def _backward(self, batch: Batch, num_boxes: float | Tensor, record: StepRecord) -> Losses:
        """Adds the gradients of all micro-batches and returns the losses of the batch."""
        device = self.accelerator.device
        micro_batches = split(to_device(batch, device), self.config.accumulate)
        parts: list[Losses] = []
        for i, micro in enumerate(micro_batches):
            last = i == len(micro_batches) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                with torch.autocast(device.type, torch.bfloat16, enabled=self.config.bf16):
                    outputs = self.model(micro.images, micro.sizes)
                parts.append(self._losses(outputs, micro.targets, num_boxes, record))
                parts[-1].total.backward()
        return sum_losses(parts)

    def _losses(self, outputs: Any, targets: list[Target], num_boxes: float | Tensor, record: StepRecord) -> Losses:
        try:
            losses = self.criterion(outputs, targets, num_boxes, len(record.ids))
        except NonFiniteError as error:
            self._require_finite(self._watch.seen())  # the previous step may be the cause
            raise not_finite(record, str(error)) from error
        self._require_finite(self._watch.seen())
        return losses

    def _require_finite(self, watched: list[float]) -> None:
        loss, norm = watched[:2]
        if self._last is not None and not (math.isfinite(loss) and math.isfinite(norm)):
            raise not_finite(self._last, f"the loss is {loss:g} and the gradient's norm {norm:g}")
