"""Recognises the configuration of a Sparse R-CNN by the shapes of its tensors. The tensors already have our names."""

import math
from collections.abc import Mapping

from torch import Tensor

from uncrowd.errors import InputError
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.weights.published.backbones import infer_backbone
from uncrowd.weights.published.pth import count


def infer_config(tensors: Mapping[str, Tensor], source: str, *, heads: int = 8) -> SparseRCNNConfig:
    """Returns the configuration of the model that has these renamed tensors.

    Shapes do not reveal the number of attention heads; the paper's is 8. Raises InputError when tensors are missing
    that tell the model's sizes, and when the backbone is not known.
    """
    stage = "head.stages.0."
    try:
        num_classes, width = tensors[stage + "class_logits.weight"].shape
        proposals = len(tensors["proposal_queries"])
        dynamic_width = len(tensors[stage + "interaction.dynamic_conv.norm1.weight"])
        weighted = stage + "interaction.class_branch.mask.reduce.weight" in tensors
        branch = stage + ("interaction.class_branch." if weighted else "interaction.")
        feedforward_width = len(tensors[f"{branch}feedforward.linear1.weight"])
        positions = tensors[f"{branch}out.linear.weight"].shape[1] // width
        backbone = infer_backbone(tensors, source)
    except KeyError as error:
        raise InputError(
            f"{source} is not a complete Sparse R-CNN: {error.args[0]} (our name) is missing among its "
            f"{len(tensors)} tensors."
        ) from error
    # Only the authors' release has channel masks, and its attention uses IoU.
    return SparseRCNNConfig(
        num_classes=num_classes,
        proposals=proposals,
        stages=count(tensors, r"head\.stages\.(\d+)\."),
        backbone=backbone,
        stage=StageConfig(
            attention="iou" if weighted else "content",
            interaction="dcw" if weighted else "entangled",
            width=width,
            heads=heads,
            dynamic_width=dynamic_width,
            feedforward_width=feedforward_width,
            class_tower=count(tensors, r"head\.stages\.0\.class_tower\.(\d+)\.") // 2,
            box_tower=count(tensors, r"head\.stages\.0\.box_tower\.(\d+)\.") // 2,
            pooled_size=math.isqrt(positions),
        ),
    )
