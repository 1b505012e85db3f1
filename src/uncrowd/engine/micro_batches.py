"""Cuts the batch of a step into micro-batches, which need less memory, and sums their losses."""

from dataclasses import replace

import torch

from uncrowd.devices import send
from uncrowd.losses.criterion import Losses
from uncrowd.structures import Batch


def split(batch: Batch, parts: int) -> list[Batch]:
    """Cuts a padded batch into `parts` micro-batches of equal size. They keep its padding."""
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
    """Returns the batch on `device`. All its tensors are copied before the forward pass, which then never waits."""
    return replace(
        batch,
        images=send(batch.images, device),
        sizes=send(batch.sizes, device),
        targets=[target.to(device) for target in batch.targets],
    )


def sum_losses(parts: list[Losses]) -> Losses:
    """Returns the losses of a step from those of its micro-batches, which are divided by the same number of objects."""
    return Losses(*(torch.stack(values).sum(0).detach() for values in zip(*parts, strict=True)))
