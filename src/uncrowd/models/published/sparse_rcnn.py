"""Which Sparse R-CNN a dictionary of tensors is, told from their shapes once they carry our names."""

import math
import re
from collections.abc import Mapping

from torch import Tensor

from uncrowd.errors import InputError
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.models.stage import StageConfig

_Blocks = tuple[int, ...]
# Blocks a stage, convolutions a block, width of the first 3x3 and channels of one of its groups: timm's name.
_RESNETS: dict[tuple[_Blocks, int, int, int], str] = {
    ((2, 2, 2, 2), 2, 64, 64): "resnet18",
    ((3, 4, 6, 3), 2, 64, 64): "resnet34",
    ((3, 4, 6, 3), 3, 64, 64): "resnet50",
    ((3, 4, 23, 3), 3, 64, 64): "resnet101",
    ((3, 8, 36, 3), 3, 64, 64): "resnet152",
    ((3, 4, 6, 3), 3, 128, 4): "resnext50_32x4d",
    ((3, 4, 23, 3), 3, 128, 4): "resnext101_32x4d",
    ((3, 4, 23, 3), 3, 256, 8): "resnext101_32x8d",
    ((3, 4, 23, 3), 3, 256, 4): "resnext101_64x4d",
}
# Blocks a stage, width of the first, side of a window: timm's name.
_SWINS: dict[tuple[_Blocks, int, int], str] = {
    ((2, 2, 6, 2), 96, 7): "swin_tiny_patch4_window7_224",
    ((2, 2, 18, 2), 96, 7): "swin_small_patch4_window7_224",
    ((2, 2, 18, 2), 128, 7): "swin_base_patch4_window7_224",
}


def infer_config(tensors: Mapping[str, Tensor], source: str, *, heads: int = 8) -> SparseRCNNConfig:
    """Returns the configuration whose model these renamed tensors are.

    The number of attention heads leaves no trace in them; the paper's is 8. Raises InputError when what tells the
    sizes is missing, or the backbone is none that is known.
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
        backbone = _backbone(tensors, source)
    except KeyError as error:
        raise InputError(
            f"{source} is no whole Sparse R-CNN: what would be {error.args[0]} here is missing among its "
            f"{len(tensors)} tensors."
        ) from error
    # The authors' release is told from the baseline by its channel masks; it attends with IoU.
    return SparseRCNNConfig(
        num_classes=num_classes,
        proposals=proposals,
        stages=_count(tensors, r"head\.stages\.(\d+)\."),
        backbone=backbone,
        stage=StageConfig(
            attention="iou" if weighted else "content",
            interaction="dcw" if weighted else "entangled",
            width=width,
            heads=heads,
            dynamic_width=dynamic_width,
            feedforward_width=feedforward_width,
            class_tower=_count(tensors, r"head\.stages\.0\.class_tower\.(\d+)\.") // 2,
            box_tower=_count(tensors, r"head\.stages\.0\.box_tower\.(\d+)\.") // 2,
            pooled_size=math.isqrt(positions),
        ),
    )


def _backbone(tensors: Mapping[str, Tensor], source: str) -> BackboneConfig:
    if "backbone.body.patch_embed.proj.weight" in tensors:
        blocks = tuple(_count(tensors, rf"backbone\.body\.layers_{i}\.blocks\.(\d+)\.") for i in range(4))
        width = len(tensors["backbone.body.patch_embed.proj.weight"])
        offsets = len(tensors["backbone.body.layers_0.blocks.0.attn.relative_position_bias_table"])
        name = _SWINS.get((blocks, width, (math.isqrt(offsets) + 1) // 2))  # a window of w has (2w - 1)^2 offsets
        found = f"a Swin transformer of {blocks} blocks, {width} wide"
        config = {"frozen_stages": 0, "drop_path": 0.2}  # as the paper trains it
    else:
        blocks = tuple(_count(tensors, rf"backbone\.body\.layer{i}\.(\d+)\.") for i in range(1, 5))
        convolutions = _count(tensors, r"backbone\.body\.layer1\.0\.conv(\d)\.weight")
        width, group_width = tensors["backbone.body.layer1.0.conv2.weight"].shape[:2]
        name = _RESNETS.get((blocks, convolutions, width, group_width))
        found = f"a ResNet of {blocks} blocks, its first 3x3 convolution {width} wide in groups of {group_width}"
        config = {}
    if name is None:
        raise InputError(
            f"{source} holds {found}, which is none of {', '.join([*_RESNETS.values(), *_SWINS.values()])}."
        )
    return BackboneConfig(name=name, **config)


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """How many different things the pattern's group names."""
    return len({match[1] for name in tensors if (match := re.match(pattern, name))})
