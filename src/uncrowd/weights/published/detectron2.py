"""Detectron2's naming of tensors, as in the releases of Sparse R-CNN and of this paper's authors (IoU-ESA and DCW)."""

import re
from collections.abc import Mapping

from torch import Tensor

from uncrowd.weights.published.pth import PthFile, Renamed, Rule, by_first_rule, rename_all, without
from uncrowd.weights.published.sparse_rcnn import infer_config

# Detectron2 numbers pyramid levels and ResNet stages from 2, and names a norm as a child of its convolution.
_MODEL_RULES: list[Rule] = [
    (r"backbone\.fpn_lateral(\d)\.", lambda m: f"pyramid.fpn.inner_blocks.{int(m[1]) - 2}.0."),
    (r"backbone\.fpn_output(\d)\.", lambda m: f"pyramid.fpn.layer_blocks.{int(m[1]) - 2}.0."),
    (r"backbone\.bottom_up\.stem\.conv1\.norm\.", "backbone.body.bn1."),
    (r"backbone\.bottom_up\.stem\.conv1\.", "backbone.body.conv1."),
    (r"backbone\.bottom_up\.res(\d)\.(\d+)\.", lambda m: f"backbone.body.layer{int(m[1]) - 1}.{m[2]}."),
    (r"(layer\d\.\d+)\.conv(\d)\.norm\.", r"\1.bn\2."),
    (r"(layer\d\.\d+)\.shortcut\.norm\.", r"\1.downsample.1."),
    (r"(layer\d\.\d+)\.shortcut\.", r"\1.downsample.0."),
    (r"backbone\.bottom_up\.(patch_embed)\.", r"backbone.body.\1."),
    # timm merges the patches of Swin at the beginning of a stage, Detectron2 at the end of the previous one
    (r"backbone\.bottom_up\.layers\.(\d)\.downsample\.", lambda m: f"backbone.body.layers_{int(m[1]) + 1}.downsample."),
    (r"backbone\.bottom_up\.layers\.(\d)\.", r"backbone.body.layers_\1."),
    (r"backbone\.bottom_up\.norm(\d)\.", r"backbone.norms.\1."),
    (r"init_proposal_boxes\.weight", "proposal_boxes_cxcywh_norm"),
    (r"init_proposal_features\.weight", "proposal_queries"),
]
_STAGE_RULES: list[Rule] = [
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


def recognises(tensors: Mapping[str, Tensor]) -> bool:
    """Returns whether these are Detectron2's names of a Sparse R-CNN, of which some may be missing."""
    return any(re.match(r"(head\.)?head_series\.|init_proposal_", name) for name in tensors)


def rename_file(file: PthFile) -> Renamed:
    """Returns the checkpoint under our names. Raises InputError when tensors that tell its sizes are missing."""
    tensors, offsets = without(file.tensors, r"\.relative_position_index$")
    renamed = rename(tensors)
    config = infer_config(renamed, file.source)
    notes = [
        "the file does not state the number of attention heads and the pixel mean and std; the published ones are used"
    ]
    if offsets:
        notes.append(f"{offsets} relative_position_index tensors were left out: the size of a window determines them")
    if config.backbone.name.startswith("swin"):
        notes.append("timm's Swin pads after it shifts its windows, not before, so features at two borders differ")
    release = "the authors' release, in Detectron2's naming" if config.stage.interaction == "dcw" else None
    return Renamed(release or "Detectron2's Sparse R-CNN", config, renamed, None, notes)


def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors under our names; a name that no rule matches stays as it is."""
    return rename_all(tensors, _rename)


def _rename(name: str) -> str:
    if in_stage := re.match(r"(?:head\.)?head_series\.(\d+)\.(.*)", name):
        number, rest = in_stage.groups()
        rest = (
            by_first_rule(rest, _STAGE_RULES).replace("cls_branch", "class_branch").replace("reg_branch", "box_branch")
        )
        return f"head.stages.{number}.{rest}"
    for old, new in _MODEL_RULES:
        name = re.sub(old, new, name)
    return name
