"""Small detectors as other projects save them. Our names become theirs, by the inverse of `weights.published`."""

import re
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.build import build_detector
from uncrowd.models.detr import DETR, DETRConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig

# the authors' release, in Detectron2's naming
TO_DETECTRON2 = [
    (r"^pyramid\.fpn\.inner_blocks\.(\d)\.0\.", lambda m: f"backbone.fpn_lateral{int(m[1]) + 2}."),
    (r"^pyramid\.fpn\.layer_blocks\.(\d)\.0\.", lambda m: f"backbone.fpn_output{int(m[1]) + 2}."),
    (r"^backbone\.body\.conv1\.", "backbone.bottom_up.stem.conv1."),
    (r"^backbone\.body\.bn1\.", "backbone.bottom_up.stem.conv1.norm."),
    (r"^backbone\.body\.patch_embed\.", "backbone.bottom_up.patch_embed."),
    (r"^backbone\.body\.layers_(\d)\.downsample\.", lambda m: f"backbone.bottom_up.layers.{int(m[1]) - 1}.downsample."),
    (r"^backbone\.body\.layers_(\d)\.", r"backbone.bottom_up.layers.\1."),
    (r"^backbone\.norms\.(\d)\.", r"backbone.bottom_up.norm\1."),
    (r"^backbone\.body\.layer(\d)\.", lambda m: f"backbone.bottom_up.res{int(m[1]) + 1}."),
    (r"(res\d\.\d+)\.bn(\d)\.", r"\1.conv\2.norm."),
    (r"(res\d\.\d+)\.downsample\.0\.", r"\1.shortcut."),
    (r"(res\d\.\d+)\.downsample\.1\.", r"\1.shortcut.norm."),
    (r"^proposal_boxes_cxcywh_norm$", "init_proposal_boxes.weight"),
    (r"^proposal_queries$", "init_proposal_features.weight"),
    (r"^head\.stages\.", "head.head_series."),
    (r"class_branch|class_tower", lambda m: m[0].replace("class", "cls")),
    (r"box_branch|box_tower", lambda m: m[0].replace("box", "reg")),
    (r"(cls|reg)_tower", r"\1_module"),
    (r"box_deltas", "bboxes_delta"),
    (r"attention\.qkv", "self_attn.proj_qkv"),
    (r"attention\.out", "self_attn.out_proj"),
    (r"attention_norm", "norm1"),
    (r"interaction\.dynamic_conv\.kernels", "inst_interact.dynamic_layer"),
    (r"interaction\.dynamic_conv\.", "inst_interact."),
    (r"interaction\.(cls|reg)_branch\.mask\.reduce", r"inst_interact.proj_\g<1>1"),
    (r"interaction\.(cls|reg)_branch\.mask\.expand", r"inst_interact.proj_\g<1>2"),
    (r"interaction\.(cls|reg)_branch\.mask_norm\.0", r"inst_interact.norm3_\1"),
    (r"interaction\.(cls|reg)_branch\.out\.linear", r"inst_interact.out_layer_\1"),
    (r"interaction\.(cls|reg)_branch\.out\.norm", r"inst_interact.norm4_\1"),
    (r"interaction\.(cls|reg)_branch\.feedforward\.norm", r"norm3_\1"),
    (r"interaction\.(cls|reg)_branch\.feedforward\.(linear\d)", r"\2_\1"),
    (r"interaction\.(cls|reg)_branch\.norm", r"norm2_\1"),
    (r"interaction\.(cls|reg)_branch\.residual\.0", r"proj_\1"),
    (r"interaction\.(cls|reg)_branch\.residual\.1", r"norm_\1"),
]
TO_MMDETECTION = [
    (r"^backbone\.body\.", "backbone."),
    (r"^pyramid\.fpn\.inner_blocks\.(\d)\.0\.", r"neck.lateral_convs.\1.conv."),
    (r"^pyramid\.fpn\.layer_blocks\.(\d)\.0\.", r"neck.fpn_convs.\1.conv."),
    (r"^proposal_boxes_cxcywh_norm$", "rpn_head.init_proposal_bboxes.weight"),
    (r"^proposal_queries$", "rpn_head.init_proposal_features.weight"),
    (r"^head\.stages\.", "roi_head.bbox_head."),
    (r"attention\.qkv\.", "attention.attn.in_proj_"),
    (r"attention\.out\.", "attention.attn.out_proj."),
    (r"interaction\.dynamic_conv\.kernels", "instance_interactive_conv.dynamic_layer"),
    (r"interaction\.dynamic_conv\.norm1", "instance_interactive_conv.norm_in"),
    (r"interaction\.dynamic_conv\.norm2", "instance_interactive_conv.norm_out"),
    (r"interaction\.out\.linear", "instance_interactive_conv.fc_layer"),
    (r"interaction\.out\.norm", "instance_interactive_conv.fc_norm"),
    (r"interaction\.norm", "instance_interactive_conv_norm"),
    (r"interaction\.feedforward\.linear1", "ffn.layers.0.0"),
    (r"interaction\.feedforward\.linear2", "ffn.layers.1"),
    (r"interaction\.feedforward\.norm", "ffn_norm"),
    (r"class_tower", "cls_fcs"),
    (r"box_tower", "reg_fcs"),
    (r"class_logits", "fc_cls"),
    (r"box_deltas", "fc_reg"),
]
TO_DETR = [
    (r"^backbone\.", "backbone.0."),
    (r"^projection\.", "input_proj."),
    (r"^query_positions$", "query_embed.weight"),
    (r"^encoder\.", "transformer.encoder.layers."),
    (r"^decoder\.class_logits\.", "class_embed."),
    (r"^decoder\.boxes_cxcywh_norm\.(\d)\.", lambda m: f"bbox_embed.layers.{int(m[1]) // 2}."),
    (r"^decoder\.", "transformer.decoder."),
    (r"\d\.attention\.", lambda m: m[0].replace("attention", "self_attn")),
    (r"self_attention\.", "self_attn."),
    (r"cross_attention\.", "multihead_attn."),
    (r"qkv\.", "in_proj_"),
    (r"_attn\.out\.", "_attn.out_proj."),
    (r"(attention|self)_norm\.", "norm1."),
    (r"cross_norm\.", "norm2."),
    (r"task_features\.feedforward\.norm\.", "norm3."),
    (r"\d\.feedforward\.norm\.", lambda m: f"{m[0][0]}.norm2."),
    (r"(task_features\.)?feedforward\.", ""),
]


def detectron2_name(name: str) -> str:
    for old, new in TO_DETECTRON2:
        name = re.sub(old, new, name)
    return name


def as_detectron2(model: SparseRCNN) -> dict[str, Tensor]:
    return {detectron2_name(name): tensor for name, tensor in model.state_dict().items()}


def mmdetection_name(name: str) -> str:
    for old, new in TO_MMDETECTION:
        name = re.sub(old, new, name)
    return name


def save_mmdetection(file: Path, names: tuple[str, ...]) -> Path:
    """Saves a small Sparse R-CNN as mmdetection does, with the names of its classes; returns the file."""
    stage = StageConfig(attention="content", interaction="entangled", width=16, dynamic_width=4, feedforward_width=32)
    backbone = BackboneConfig(name="resnet18")
    torch.manual_seed(0)
    model = SparseRCNN(SparseRCNNConfig(num_classes=len(names), proposals=5, stages=1, backbone=backbone, stage=stage))
    state = {mmdetection_name(name): tensor for name, tensor in model.state_dict().items()}
    torch.save(
        {"state_dict": state | {"backbone.bn1.num_batches_tracked": torch.tensor(7)}, "meta": {"CLASSES": names}}, file
    )
    return file


def detr_name(name: str) -> str:
    for old, new in TO_DETR:
        name = re.sub(old, new, name)
    return name


def small_detr(num_classes: int) -> DETR:
    torch.manual_seed(0)
    config = DETRConfig(
        num_classes=num_classes,
        proposals=5,
        backbone=BackboneConfig(name="resnet18"),
        width=16,
        encoder_layers=2,
        decoder_layers=3,
        feedforward_width=32,
    )
    return cast(DETR, build_detector(config)).eval()


def as_detr(model: DETR) -> dict[str, Tensor]:
    return {detr_name(name): tensor for name, tensor in model.state_dict().items()}
