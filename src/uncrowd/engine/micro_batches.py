"""A step in parts, for memory: the batch is cut, the losses are summed, and nothing else changes."""

from dataclasses import replace

import torch

from uncrowd.losses.criterion import Losses
from uncrowd.structures import Batch


def split(batch: Batch, parts: int) -> list[Batch]:
    """Cuts a padded batch into micro-batches of equal size; they keep its padding."""
    size = len(batch.ids) // parts
    return [
        Batch(
            images=batch.images[start : start + size],
            sizes=batch.sizes[start : start + size],
            targets=batch.targets[start : start + size],
            ids=batch.ids[start : start + size],
            image_sizes=batch.image_sizes[start : start + size],
            skipped=[],
        )
        for start in range(0, len(batch.ids), size)
    ]


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on `device`, all of it before the forward pass, so that nothing waits for that."""
    return replace(
        batch,
        images=batch.images.to(device, non_blocking=True),
        sizes=batch.sizes.to(device, non_blocking=True),
        targets=[target.to(device) for target in batch.targets],
    )


def sum_losses(parts: list[Losses]) -> Losses:
    """The losses of a step from those of its micro-batches, which share one normaliser."""
    return Losses(*(torch.stack(values).sum(0).detach() for values in zip(*parts, strict=True)))
