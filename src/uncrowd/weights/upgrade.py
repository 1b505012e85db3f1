"""Adds IoU-ESA and DCW to a trained Sparse R-CNN for fine-tuning, and keeps all weights that it has learned.

DCW adds a mask, two norms (in `mask_norm` and `residual`) and a projection, which Sparse R-CNN does not have. It makes
the next query the sum of two branches. The new parts start so that they change the output as little as possible:

- The mask starts at 1/2 in every channel. The norm after it removes this factor.
- A norm cannot be switched off, but its scale and shift can restore, on average, the standard deviation and the mean
  that it removes. Both follow from the weights alone, because the input of the new norm is the output of another norm.
- The projection of the residual query starts as the identity.
- Both branches start equal, each with half of the old feature, and the layers that read them start with doubled
  weights. This is exact.

The effect of IoU on the attention cannot be removed. It is zero only where all boxes are equal, which they are at the
first stage before training.
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncrowd.errors import InputError
from uncrowd.models.detector import Detector
from uncrowd.models.interaction import ChannelWeighted, Entangled
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.models.stage import Stage


@torch.no_grad()
def upgrade(model: Detector, source: str = "the model") -> SparseRCNN:
    """Returns a new model with attention 'iou' and interaction 'dcw' that starts from all weights of `model`.

    Its outputs are close to those of `model` but not equal to them. Raises InputError, naming `source`, unless `model`
    is a Sparse R-CNN with attention 'content' and interaction 'entangled'.
    """
    if not isinstance(model, SparseRCNN):
        raise InputError(f"{source} is a {type(model).__name__}; only a Sparse R-CNN can be upgraded.")
    stage = model.config.stage
    if (stage.attention, stage.interaction) != ("content", "entangled"):
        raise InputError(
            f"{source} has attention {stage.attention!r} and interaction {stage.interaction!r}; only a Sparse R-CNN as "
            "it was first published, with 'content' and 'entangled', can be upgraded."
        )
    config = replace(model.config, stage=replace(stage, attention="iou", interaction="dcw"))
    upgraded = SparseRCNN(config).to(next(model.parameters())).train(model.training)
    _copy_all_but(model, upgraded, "head")
    for before, after in zip(model.head.stages, upgraded.head.stages, strict=True):
        assert isinstance(before, Stage)
        assert isinstance(after, Stage)
        _copy_all_but(before, after, "interaction")
        _upgrade_interaction(before, after)
    return upgraded


def norm_moments(norm: nn.LayerNorm) -> tuple[float, float]:
    """Returns mean and standard deviation over the channels of a LayerNorm's output w z + b, where z ~ N(0, 1)."""
    weight, bias = norm.weight.double(), norm.bias.double()
    return _mean_and_std(bias, weight**2 + bias**2)


def relu_norm_moments(norm: nn.LayerNorm) -> tuple[float, float]:
    """Returns mean and standard deviation over the channels of ReLU(w z + b), a rectified normal variable."""
    mean, std = norm.bias.double(), norm.weight.double().abs().clamp(min=1e-12)
    normal = torch.distributions.Normal(0.0, 1.0)
    above = normal.cdf(mean / std)  # the share of values above zero
    density = normal.log_prob(mean / std).exp()
    return _mean_and_std(mean * above + std * density, (mean**2 + std**2) * above + mean * std * density)


def _copy_all_but(before: nn.Module, after: nn.Module, child: str) -> None:
    tensors = {name: tensor for name, tensor in before.state_dict().items() if not name.startswith(f"{child}.")}
    missing, unexpected = after.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert all(name.startswith(f"{child}.") for name in missing), missing


def _upgrade_interaction(before: Stage, after: Stage) -> None:
    old, new = before.interaction, after.interaction
    assert isinstance(old, Entangled)
    assert isinstance(new, ChannelWeighted)
    assert isinstance(before.attention_norm, nn.LayerNorm)
    width = len(before.attention_norm.weight)
    new.dynamic_conv.load_state_dict(old.dynamic_conv.state_dict())
    for branch in (new.class_branch, new.box_branch):
        for name in ("out", "norm", "feedforward"):
            getattr(branch, name).load_state_dict(getattr(old, name).state_dict())
        assert isinstance(branch.mask_norm, nn.Sequential)
        assert isinstance(branch.residual, nn.Sequential)
        for parameter in branch.mask.expand.parameters():
            parameter.zero_()  # only the last layer: with both at zero, neither would get a gradient
        branch.mask_norm[0].load_state_dict(_constant_norm(width, *relu_norm_moments(old.dynamic_conv.norm2)))
        branch.residual[0].load_state_dict({"weight": torch.eye(width), "bias": torch.zeros(width)})
        branch.residual[1].load_state_dict(_constant_norm(width, *norm_moments(before.attention_norm)))
        for parameter in branch.feedforward.norm.parameters():
            parameter /= 2
    for tower, last in ((after.class_tower, after.class_logits), (after.box_tower, after.box_deltas)):
        reader = tower[0] if len(tower) else last
        assert isinstance(reader, nn.Linear)
        reader.weight *= 2


def _constant_norm(width: int, mean: float, std: float) -> dict[str, Tensor]:
    """Returns the state of a LayerNorm whose output rows have this mean and standard deviation."""
    return {"weight": torch.full((width,), std), "bias": torch.full((width,), mean)}


def _mean_and_std(means: Float[Tensor, " d"], squares: Float[Tensor, " d"]) -> tuple[float, float]:
    """Returns mean and standard deviation of a row whose channels have these first and second moments."""
    mean = means.mean().item()
    return mean, math.sqrt(max(squares.mean().item() - mean**2, 0.0))
