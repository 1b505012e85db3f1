"""AdamW and its learning rate, with a linear warm-up and milestones (Sec. 4, implementation details)."""

from dataclasses import dataclass

import torch
from torch import nn

from uncrowd.errors import require_above, require_at_least


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW as in the paper. The defaults are its schedule on COCO."""

    # Learning rate after the warm-up and before the first milestone.
    learning_rate: float = 2.5e-5
    # Factor on the learning rate of the backbone.
    backbone_factor: float = 1.0
    # Weight decay of every parameter, including norms and biases.
    weight_decay: float = 1e-4
    # Largest norm of the gradient of the whole model; a larger gradient is scaled down.
    clip_norm: float = 1.0
    # Number of steps in which the learning rate rises linearly.
    warmup_steps: int = 1000
    # Factor on the learning rate at the beginning of the warm-up.
    warmup_factor: float = 0.01
    # Epochs after which the learning rate is multiplied by `decay`; they may be fractions.
    milestones: tuple[float, ...] = (27.0, 33.0)
    # Factor on the learning rate at each milestone.
    decay: float = 0.1
    # Batch size that the learning rate was chosen for; for another one the rate is scaled in proportion. None never
    # scales it.
    scale_to_batch: int | None = None

    def __post_init__(self) -> None:
        """Raises InputError for values with which nothing would be learnt."""
        require_above(0, learning_rate=self.learning_rate, clip_norm=self.clip_norm)
        require_at_least(0, weight_decay=self.weight_decay, decay=self.decay, backbone_factor=self.backbone_factor)
        require_at_least(0, warmup_steps=self.warmup_steps, warmup_factor=self.warmup_factor)
        if self.scale_to_batch is not None:
            require_at_least(1, scale_to_batch=self.scale_to_batch)


def learning_rate(config: OptimConfig, step: int, steps_per_epoch: int, batch_size: int) -> float:
    """Returns the learning rate of a step, counted from 0 over the whole run.

    It depends on nothing else, so that a checkpoint need not hold a schedule.
    """
    rate = config.learning_rate
    if config.scale_to_batch is not None:
        rate *= batch_size / config.scale_to_batch
    if step < config.warmup_steps:
        progress = step / config.warmup_steps
        rate *= config.warmup_factor * (1 - progress) + progress
    passed = sum(step >= milestone * steps_per_epoch for milestone in config.milestones)
    return rate * config.decay**passed


def build_optimizer(config: OptimConfig, model: nn.Module) -> torch.optim.AdamW:
    """Returns AdamW for all parameters that are not frozen, with weight decay on all of them.

    The `rate_factor` of a group is the factor on its learning rate. Parameters under `backbone.` form their own group.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    backbone = [parameter for name, parameter in trained.items() if name.startswith("backbone.")]
    others = [parameter for name, parameter in trained.items() if not name.startswith("backbone.")]
    groups = [
        {"params": parameters, "rate_factor": factor}
        for parameters, factor in ((others, 1.0), (backbone, config.backbone_factor))
        if parameters
    ]
    fused = others[0].device.type in ("cpu", "cuda")  # updates all parameters in a quarter of the time
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused or None)
