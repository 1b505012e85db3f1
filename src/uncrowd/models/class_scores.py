"""How class logits become scores: a yes or no for each class, or one choice among all classes and no object."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from uncrowd.boxes import at_least_fp32

# sigmoid: each class has a probability of its own. softmax: the last logit stands for no object.
ScoreKind = Literal["sigmoid", "softmax"]


def class_scores(logits: Float[Tensor, "*n logits"], kind: ScoreKind) -> Float[Tensor, "*n classes"]:
    """Returns the probability of each class, in at least fp32; that of no object (softmax) is left out."""
    logits = at_least_fp32(logits)
    return logits.sigmoid() if kind == "sigmoid" else logits.softmax(dim=-1)[..., :-1]
