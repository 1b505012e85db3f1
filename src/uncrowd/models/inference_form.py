"""The form in which a detector looks at images: what training needs anew in each step is worked out once."""

import torch
from torch import nn

from uncrowd.models.detector import Detector
from uncrowd.models.folding import FoldedConv2d, fold_for_good
from uncrowd.models.recordings import Recordings


def for_inference(model: Detector, *, bf16: bool) -> None:
    """Brings a model, in place, into the form in which it is fast to look and can no longer be trained or saved.

    Frozen norms become part of the convolutions before them, and with `bf16`, for a model that runs under such an
    autocast and nowhere else, the weights are cast that autocast would cast for each image. What it computes stays
    the same, to the bit. On a GPU what it does with images of a size is recorded.
    """
    model.only_looks, model.recordings = True, Recordings()
    model.eval().requires_grad_(requires_grad=False)
    fold_for_good(model)
    if bf16:
        for module in model.modules():
            # others do something to their weights, or want them precise
            if type(module) in (nn.Linear, nn.Conv2d, FoldedConv2d):
                module.to(torch.bfloat16)
