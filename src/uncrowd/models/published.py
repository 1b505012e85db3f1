"""Other people's checkpoints, renamed into ours: Detectron2-style Sparse R-CNN and the authors' release."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from uncrowd.errors import InputError
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.models.weights import load_exactly

# Detectron2 numbers pyramid levels and ResNet stages from 2, and calls a block's norm after its convolution.
_TRUNK_RULES = [
    (r"backbone\.fpn_lateral(\d)\.", lambda m: f"pyramid.fpn.inner_blocks.{int(m[1]) - 2}.0."),
    (r"backbone\.fpn_output(\d)\.", lambda m: f"pyramid.fpn.layer_blocks.{int(m[1]) - 2}.0."),
    (r"backbone\.bottom_up\.stem\.conv1\.norm\.", "backbone.body.bn1."),
    (r"backbone\.bottom_up\.stem\.conv1\.", "backbone.body.conv1."),
    (r"backbone\.bottom_up\.res(\d)\.(\d+)\.", lambda m: f"backbone.body.layer{int(m[1]) - 1}.{m[2]}."),
    (r"(layer\d\.\d+)\.conv(\d)\.norm\.", r"\1.bn\2."),
    (r"(layer\d\.\d+)\.shortcut\.norm\.", r"\1.downsample.1."),
    (r"(layer\d\.\d+)\.shortcut\.", r"\1.downsample.0."),
    (r"init_proposal_boxes\.weight", "proposal_boxes_cxcywh_norm"),
    (r"init_proposal_features\.weight", "proposal_queries"),
]
_STAGE_RULES = [
    (r"self_attn\.(in_proj_|proj_qkv\.)", "attention.qkv."),
    (r"self_attn\.out_proj\.", "attention.out."),
    (r"inst_interact\.dynamic_layer\.", "interaction.dynamic_conv.kernels."),
    (r"inst_interact\.(norm[12])\.", r"interaction.dynamic_conv.\1."),
    (r"inst_interact\.out_layer\.", "interaction.out.linear."),
    (r"inst_interact\.norm3\.", "interaction.out.norm."),
    (r"inst_interact\.proj_(cls|reg)1\.", r"interaction.\1_branch.mask.reduce."),
    (r"inst_interact\.proj_(cls|reg)2\.", r"interaction.\1_branch.mask.expand."),
    (r"inst_interact\.norm3_(cls|reg)\.", r"interaction.\1_branch.mask_norm.0."),
    (r"inst_interact\.out_layer_(cls|reg)\.", r"interaction.\1_branch.out.linear."),
    (r"inst_interact\.norm4_(cls|reg)\.", r"interaction.\1_branch.out.norm."),
    (r"norm1\.", "attention_norm."),
    (r"norm2\.", "interaction.norm."),
    (r"norm3\.", "interaction.feedforward.norm."),
    (r"(linear[12])\.", r"interaction.feedforward.\1."),
    (r"norm2_(cls|reg)\.", r"interaction.\1_branch.norm."),
    (r"norm3_(cls|reg)\.", r"interaction.\1_branch.feedforward.norm."),
    (r"(linear[12])_(cls|reg)\.", r"interaction.\2_branch.feedforward.\1."),
    (r"proj_(cls|reg)\.", r"interaction.\1_branch.residual.0."),
    (r"norm_(cls|reg)\.", r"interaction.\1_branch.residual.1."),
    (r"cls_module\.", "class_tower."),
    (r"reg_module\.", "box_tower."),
    (r"bboxes_delta\.", "box_deltas."),
]
_RESNETS = {6: "resnet50", 23: "resnet101", 36: "resnet152"}  # by the number of blocks in res4


def read_published(path: Path) -> SparseRCNN:
    """Returns the model a published `.pth` holds, with every tensor of the file used exactly once.

    The file is read with `weights_only`, so it cannot run code. Raises InputError when it is no such checkpoint, or
    lists what does not fit.
    """
    if not path.is_file():
        raise InputError(f"The checkpoint {path} does not exist.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and EOF errors alike
        # torch's own words advise to run the code
        raise InputError(
            f"{path} is no PyTorch checkpoint that can be read without running code ({type(error).__name__}); "
            "have its author save the tensors alone."
        ) from error
    tensors = checkpoint.get("model", checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(f"{path} holds no dictionary of tensors, neither at its top nor under 'model'.")
    renamed = rename(tensors)
    model = SparseRCNN(infer_config(renamed, str(path)))
    load_exactly(model, renamed, str(path))
    return model


def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors under our names; a name no rule knows stays as it is."""
    renamed = {_rename(name): tensor for name, tensor in tensors.items()}
    assert len(renamed) == len(tensors), "two tensors under one name"
    return renamed


def infer_config(tensors: Mapping[str, Tensor], source: str) -> SparseRCNNConfig:
    """Returns the configuration whose model these renamed tensors are.

    The number of attention heads leaves no trace in them; it is the paper's 8.
    """
    stage = "head.stages.0."
    try:
        num_classes, width = tensors[stage + "class_logits.weight"].shape
        proposals = len(tensors["proposal_queries"])
        dynamic_width = len(tensors[stage + "interaction.dynamic_conv.norm1.weight"])
        weighted = stage + "interaction.class_branch.mask.reduce.weight" in tensors
        branch = "interaction.class_branch." if weighted else "interaction."
        feedforward_width = len(tensors[f"{stage}{branch}feedforward.linear1.weight"])
        blocks = len({m[1] for name in tensors if (m := re.match(r"backbone\.body\.layer3\.(\d+)\.", name))})
    except KeyError as error:
        raise InputError(
            f"{source} is no Sparse R-CNN checkpoint in Detectron2's naming: {error.args[0]} is missing "
            f"among its {len(tensors)} tensors."
        ) from error
    if blocks not in _RESNETS:
        raise InputError(f"{source} holds a backbone with {blocks} blocks in res4, which is none of {_RESNETS}.")
    stages = len({m[1] for name in tensors if (m := re.match(r"head\.stages\.(\d+)\.", name))})
    # The authors' release is told from the baseline by its channel masks; it attends with IoU.
    return SparseRCNNConfig(
        num_classes=num_classes,
        proposals=proposals,
        stages=stages,
        backbone=BackboneConfig(name=_RESNETS[blocks]),
        stage=StageConfig(
            attention="iou" if weighted else "content",
            interaction="dcw" if weighted else "entangled",
            width=width,
            dynamic_width=dynamic_width,
            feedforward_width=feedforward_width,
        ),
    )


def _rename(name: str) -> str:
    if in_stage := re.match(r"(?:head\.)?head_series\.(\d+)\.(.*)", name):
        number, rest = in_stage.groups()
        renamed = next((re.sub(rf"^{old}", new, rest) for old, new in _STAGE_RULES if re.match(old, rest)), rest)
        renamed = renamed.replace("cls_branch", "class_branch").replace("reg_branch", "box_branch")
        return f"head.stages.{number}.{renamed}"
    for old, new in _TRUNK_RULES:
        name = re.sub(old, new, name)
    return name
