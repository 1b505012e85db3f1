"""Random predictions and objects in a small image, in double precision."""

import torch
from torch import Tensor

from uncrowd.structures import StageOutput, Target

HEIGHT, WIDTH, CLASSES = 80, 120, 3


def random_boxes(*shape: int) -> Tensor:
    """Some boxes reach out of the image."""
    corner = torch.rand(*shape, 2, dtype=torch.float64) * torch.tensor([WIDTH, HEIGHT]) - 5
    return torch.cat([corner, corner + 1 + torch.rand(*shape, 2, dtype=torch.float64) * 50], dim=-1)


def random_stages(stages: int = 2, images: int = 2, predictions: int = 5, logits: int = CLASSES) -> list[StageOutput]:
    return [
        StageOutput(
            logits=torch.randn(images, predictions, logits, dtype=torch.float64).requires_grad_(),
            boxes=random_boxes(images, predictions).requires_grad_(),
            queries=torch.zeros(images, predictions, 8, dtype=torch.float64),
        )
        for _ in range(stages)
    ]


def image_with(objects: int, ignored: Tensor | None = None) -> Target:
    return Target(
        boxes=random_boxes(objects),
        labels=torch.randint(CLASSES, (objects,)),
        ignored=torch.zeros(0, 4) if ignored is None else ignored,
        size=(HEIGHT, WIDTH),
    )
