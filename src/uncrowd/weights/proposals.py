"""Gives a trained detector another number of proposals, for inference or as the beginning of a training."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from uncrowd.errors import InputError, require_at_least
from uncrowd.models.build import AnyDetectorConfig
from uncrowd.models.detector import Detector
from uncrowd.words import counted


def with_number(model: AnyDetectorConfig, proposals: int | None, source: str) -> AnyDetectorConfig:
    """Returns the configuration with another number of proposals, which needs no other weights; None changes nothing.

    Raises InputError, naming `source`, if the proposals are learned, and for a number below 1.
    """
    if proposals is None:
        return model
    require_at_least(1, proposals=proposals)
    if proposals != model.proposals and not model.any_proposals:
        raise InputError(
            f"{source} has learned its {counted(model.proposals, 'proposal')}, so it cannot have {proposals}; only a "
            "model with dense queries (--model.queries dense in training) can."
        )
    return replace(model, proposals=proposals)


def with_proposals(model: Detector, trained: Detector) -> tuple[Mapping[str, Tensor], str]:
    """Returns the tensors of `trained` with as many proposals as `model`, and a few words for what happened to them.

    The first proposals keep what they learned. Further ones, and those of all groups but the first, get the initial
    values of those of `model`; the words are empty when the numbers are equal. Both models differ in nothing else.
    """
    tensors = trained.state_dict()
    old, new = trained.config.proposals, model.config.proposals
    for name, initial in model.named_parameters(recurse=False):  # the proposals are all that a detector itself learns
        if name in tensors and (old != new or len(tensors[name]) != len(initial)):
            kept = tensors[name][: min(old, new)]
            tensors[name] = torch.cat([kept, initial.detach()[len(kept) :].to(kept)])
    if old == new or model.config.any_proposals:
        return tensors, ""
    if new < old:
        return tensors, f"the last {old - new} of its {counted(old, 'proposal')}, which are left out"
    return tensors, f"{new - old} of the {counted(new, 'proposal')}, which are initialised"
