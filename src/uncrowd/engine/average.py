"""The exponential average of the weights, which is scored and deployed in place of the weights themselves."""

from copy import deepcopy

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def averaged(model: nn.Module) -> nn.Module:
    """Returns a copy of the model to hold the average. Its buffers stay as they are: training changes none."""
    return deepcopy(model).requires_grad_(False)


def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Moves the average towards the weights of the model after `step`, counted from 0, without waiting for the device.

    The decay rises to its value; otherwise the average of a short run would be mostly its random beginning.
    """
    update = get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))
    update(list(average.parameters()), list(model.parameters()), step)
