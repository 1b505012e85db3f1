"""The training objective of a detector with a dense head: the loss of the head, and that of each stage behind it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncrowd.losses.criterion import Losses, SetCriterion
from uncrowd.losses.dense import DenseLossConfig, dense_loss
from uncrowd.losses.matcher import LossConfig, pad_targets
from uncrowd.structures import StageOutput, Target


class DenseCriterion(nn.Module):
    """`SetCriterion` of the stages plus `dense_loss` of the head. It does not communicate with other ranks."""

    def __init__(self, config: LossConfig, dense: DenseLossConfig):
        super().__init__()
        self.stages = SetCriterion(config)
        self.dense = dense

    def forward(
        self,
        outputs: list[StageOutput],
        targets: list[Target],
        num_boxes: int | float | Float[Tensor, ""],
        num_images: int | None = None,
    ) -> Losses:
        """Returns the total loss, and the terms of each output: see `SetCriterion.forward`.

        outputs: of the auxiliary and the main branch of the dense head, then of each stage, if there are any.
        """
        auxiliary, main, *stages = outputs
        padded = pad_targets(targets, like=main.boxes)
        of_head = dense_loss(auxiliary, main, padded, num_boxes, self.dense, self.stages.config)
        if not stages:
            return of_head
        of_stages = self.stages(stages, targets, num_boxes, num_images)
        return Losses(of_head.total + of_stages.total, *map(torch.cat, zip(of_head[1:], of_stages[1:], strict=True)))
