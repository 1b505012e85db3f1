"""Recognises the backbone in a dictionary of tensors by their shapes. The tensors already have our names."""

import math
from collections.abc import Mapping

from torch import Tensor

from uncrowd.errors import InputError
from uncrowd.models.backbone import BackboneConfig
from uncrowd.weights.published.pth import count

_Blocks = tuple[int, ...]
# (blocks of each stage, convolutions of a block, width and channels of a group of the first 3x3 one): timm's name
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
# (blocks of each stage, width of the first stage, side of a window): timm's name
_SWINS: dict[tuple[_Blocks, int, int], str] = {
    ((2, 2, 6, 2), 96, 7): "swin_tiny_patch4_window7_224",
    ((2, 2, 18, 2), 96, 7): "swin_small_patch4_window7_224",
    ((2, 2, 18, 2), 128, 7): "swin_base_patch4_window7_224",
}


def infer_backbone(tensors: Mapping[str, Tensor], source: str) -> BackboneConfig:
    """Returns the configuration of the backbone in these renamed tensors.

    Raises InputError when the backbone is not one of those listed above, and KeyError with our name of a tensor that is
    missing.
    """
    if "backbone.body.patch_embed.proj.weight" in tensors:
        blocks = tuple(count(tensors, rf"backbone\.body\.layers_{i}\.blocks\.(\d+)\.") for i in range(4))
        width = len(tensors["backbone.body.patch_embed.proj.weight"])
        offsets = len(tensors["backbone.body.layers_0.blocks.0.attn.relative_position_bias_table"])
        name = _SWINS.get((blocks, width, (math.isqrt(offsets) + 1) // 2))  # a window of w has (2w - 1)^2 offsets
        found = f"a Swin transformer of {blocks} blocks, {width} wide"
        config = {"frozen_stages": 0, "drop_path": 0.2}  # as the paper trains it
    else:
        blocks = tuple(count(tensors, rf"backbone\.body\.layer{i}\.(\d+)\.") for i in range(1, 5))
        convolutions = count(tensors, r"backbone\.body\.layer1\.0\.conv(\d)\.weight")
        width, group_width = tensors["backbone.body.layer1.0.conv2.weight"].shape[:2]
        name = _RESNETS.get((blocks, convolutions, width, group_width))
        found = f"a ResNet of {blocks} blocks, its first 3x3 convolution {width} wide in groups of {group_width}"
        config = {}
    if name is None:
        raise InputError(
            f"{source} holds {found}, which is none of {', '.join([*_RESNETS.values(), *_SWINS.values()])}."
        )
    return BackboneConfig(name=name, **config)
