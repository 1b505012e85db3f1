"""Loads the fixtures of the parity tests: heads, and what the authors' release and Sparse R-CNN computed with them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from uncrowd.models.stage import DynamicHead, StageConfig
from uncrowd.weights.published.detectron2 import rename

FIXTURES = Path(__file__).parents[1] / "fixtures" / "parity"
# dtype -> (tolerance relative to the tensor's largest value, absolute tolerance): rounding over three stages
TOLERANCE = {torch.float64: (1e-6, 1e-9), torch.float32: (1e-3, 1e-5)}
CHOICES = {
    "sparse_rcnn": StageConfig(attention="content", interaction="entangled"),
    "iou_esa_dcw": StageConfig(attention="iou", interaction="dcw"),
}


class Loaded(NamedTuple):
    head: DynamicHead
    given: dict[str, Tensor]
    facts: dict
    tensors: dict[str, Tensor]


def load_head(name: str, dtype: torch.dtype) -> Loaded:
    """Returns a head with the weights of a fixture, its inputs, its facts and all its tensors."""
    facts = json.loads((FIXTURES / f"{name}.json").read_text())
    tensors = load_file(FIXTURES / f"{name}.safetensors")
    config = replace(
        CHOICES[name],
        width=facts["hidden_dim"],
        heads=facts["num_heads"],
        dynamic_width=facts["dim_dynamic"],
        feedforward_width=facts["dim_feedforward"],
    )
    head = DynamicHead(config, facts["num_stages"], facts["num_classes"]).to(dtype)
    weights = {k.removeprefix("weight/"): v for k, v in tensors.items() if k.startswith("weight/")}
    head.load_state_dict({k.removeprefix("head."): v for k, v in rename(weights).items()})
    given = {k.removeprefix("input/"): v.to(dtype) for k, v in tensors.items() if k.startswith("input/")}
    return Loaded(head, given, facts, tensors)
