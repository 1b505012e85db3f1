"""A trained Sparse R-CNN turned into IoU-ESA + DCW, to be fine-tuned: nothing it has learned is thrown away.

DCW puts a mask and two more norms (`mask_norm`, `residual`) where Sparse R-CNN has none, and sums two branches into
the next query. Here the new parts start as close to having no effect as the design allows:

- The mask starts at 1/2 for every channel, which the norm after it removes.
- A norm cannot be switched off, but its scale and shift can give back, on average, the spread and the mean that it
  takes away. Both are known without data, for what it reads comes out of another norm.
- The branches start alike, each with half of the old feature, and what reads them starts doubled: exact.

IoU in the attention cannot be neutralised: it changes nothing only where all boxes coincide, as before training they
do at the first stage.
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

    Its outputs are near the old ones, not equal to them. Raises InputError, naming `source`, when `model` is no Sparse
    R-CNN with attention 'content' and interaction 'entangled'.
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
    upgraded = SparseRCNN(config).to(model.proposal_queries).train(model.training)
    _copy_all_but(model, upgraded, "head")
    for before, after in zip(model.head.stages, upgraded.head.stages, strict=True):
        assert isinstance(before, Stage)
        assert isinstance(after, Stage)
        _copy_all_but(before, after, "interaction")
        _upgrade_interaction(before, after)
    return upgraded


def norm_moments(norm: nn.LayerNorm) -> tuple[float, float]:
    """Returns mean and standard deviation over the channels of what a LayerNorm puts out: w z + b with z ~ N(0, 1)."""
    weight, bias = norm.weight.double(), norm.bias.double()
    return _mean_and_std(bias, weight**2 + bias**2)


def relu_norm_moments(norm: nn.LayerNorm) -> tuple[float, float]:
    """Returns the same of ReLU(w z + b): the moments of a rectified normal variable."""
    mean, std = norm.bias.double(), norm.weight.double().abs().clamp(min=1e-12)
    normal = torch.distributions.Normal(0.0, 1.0)
    above = normal.cdf(mean / std)  # the share that is not cut off
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
            parameter.zero_()  # and not the layer before it, or neither would get a gradient
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
    """A LayerNorm that gives every row this mean and standard deviation."""
    return {"weight": torch.full((width,), std), "bias": torch.full((width,), mean)}


def _mean_and_std(means: Float[Tensor, " d"], squares: Float[Tensor, " d"]) -> tuple[float, float]:
    """Of a row whose channels have these first and second moments."""
    mean = means.mean().item()
    return mean, math.sqrt(max(squares.mean().item() - mean**2, 0.0))
