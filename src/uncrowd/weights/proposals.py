"""Gives a trained detector another number of proposals."""

from collections.abc import Mapping

import torch
from torch import Tensor

from uncrowd.models.detector import Detector
from uncrowd.words import counted


def with_proposals(model: Detector, trained: Detector) -> tuple[Mapping[str, Tensor], str]:
    """Returns the tensors of `trained` with as many proposals as `model`, and a few words for what happened to them.

    The first proposals keep what they learned. Further ones get the initial values of those of `model`; the words are
    empty when the numbers are equal. Both models differ in nothing else.
    """
    tensors = trained.state_dict()
    old, new = trained.config.proposals, model.config.proposals
    if old == new:
        return tensors, ""
    for name, initial in model.named_parameters(recurse=False):  # the proposals are all that a detector itself learns
        kept = tensors[name][:new]
        tensors[name] = torch.cat([kept, initial.detach()[len(kept) :].to(kept)])
    if new < old:
        return tensors, f"the last {old - new} of its {counted(old, 'proposal')}, which are left out"
    return tensors, f"{new - old} of the {counted(new, 'proposal')}, which are initialised"
