"""The optimiser and its learning rate: AdamW, linear warm-up, milestones (Sec. 4, implementation details)."""

from dataclasses import dataclass

import torch
from torch import nn

from uncrowd.errors import require_at_least


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW as in the paper; the defaults are its COCO schedule."""

    # After the warm-up and before the first milestone.
    learning_rate: float = 2.5e-5
    # Share of the rate that the backbone learns with.
    backbone_factor: float = 1.0
    # On every parameter, norms and biases included.
    weight_decay: float = 1e-4
    # Largest norm of the gradient of the whole model.
    clip_norm: float = 1.0
    # Steps over which the rate rises linearly.
    warmup_steps: int = 1000
    # Share of the rate that the warm-up begins with.
    warmup_factor: float = 0.01
    # Epochs, fractions allowed, after which the rate is multiplied by `decay`.
    milestones: tuple[float, ...] = (27.0, 33.0)
    # What a milestone multiplies the rate by.
    decay: float = 0.1
    # The batch size the rate was chosen for: another one then scales it in proportion. None takes the rate as it is.
    scale_to_batch: int | None = None

    def __post_init__(self) -> None:
        """Raises InputError for numbers with which nothing would be learnt."""
        require_at_least(0, learning_rate=self.learning_rate, weight_decay=self.weight_decay, decay=self.decay)
        require_at_least(0, clip_norm=self.clip_norm, warmup_steps=self.warmup_steps, warmup_factor=self.warmup_factor)
        require_at_least(0, backbone_factor=self.backbone_factor)
        if self.scale_to_batch is not None:
            require_at_least(1, scale_to_batch=self.scale_to_batch)


def learning_rate(config: OptimConfig, step: int, steps_per_epoch: int, batch_size: int) -> float:
    """Returns the rate of a step, counted from 0 over the whole run: a pure function, so nothing needs resuming."""
    rate = config.learning_rate
    if config.scale_to_batch is not None:
        rate *= batch_size / config.scale_to_batch
    if step < config.warmup_steps:
        progress = step / config.warmup_steps
        rate *= config.warmup_factor * (1 - progress) + progress
    passed = sum(step >= milestone * steps_per_epoch for milestone in config.milestones)
    return rate * config.decay**passed


def build_optimizer(config: OptimConfig, model: nn.Module) -> torch.optim.AdamW:
    """Returns AdamW over every parameter that is not frozen, weight decay on all of them.

    Each group's `rate_factor` is what the rate of a step is multiplied by for it: parameters under `backbone.` have
    their own.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    backbone = [parameter for name, parameter in trained.items() if name.startswith("backbone.")]
    others = [parameter for name, parameter in trained.items() if not name.startswith("backbone.")]
    groups = [
        {"params": parameters, "rate_factor": factor}
        for parameters, factor in ((others, 1.0), (backbone, config.backbone_factor))
        if parameters
    ]
    fused = others[0].device.type in ("cpu", "cuda")  # one pass over everything that is learned: a quarter of the time
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused or None)
