"""DETR's naming of tensors.

The published class heads have a row for each of COCO's category ids, 0 to 90, and a last row for "no object". Eleven of
the ids were never used, and their rows are left out. The softmax is then over fewer classes, so scores are equal to
those of the original or slightly higher, and a query whose best class was one of the eleven gets its second best.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from uncrowd.errors import InputError
from uncrowd.models.detr import DETRConfig
from uncrowd.weights.published.backbones import infer_backbone
from uncrowd.weights.published.coco import coco_categories
from uncrowd.weights.published.pth import PthFile, Renamed, Rule, count, rename_all, without

_COCO_ROWS = 92  # category ids 0 to 90, and "no object"
_RULES: list[Rule] = [
    (r"^backbone\.0\.body\.", "backbone.body."),
    (r"^input_proj\.", "projection."),
    (r"^query_embed\.weight$", "query_positions"),
    (r"^class_embed\.", "decoder.class_logits."),
    (r"^bbox_embed\.layers\.(\d)\.", lambda m: f"decoder.boxes_cxcywh_norm.{2 * int(m[1])}."),
    (r"^transformer\.encoder\.layers\.", "encoder."),
    (r"^transformer\.decoder\.", "decoder."),
    (r"^(encoder\.\d+)\.self_attn\.", r"\1.attention."),
    (r"^(encoder\.\d+)\.norm1\.", r"\1.attention_norm."),
    (r"^(encoder\.\d+)\.norm2\.", r"\1.feedforward.norm."),
    (r"^(encoder\.\d+)\.(linear[12])\.", r"\1.feedforward.\2."),
    (r"^(decoder\.layers\.\d+)\.self_attn\.", r"\1.self_attention."),
    (r"^(decoder\.layers\.\d+)\.multihead_attn\.", r"\1.cross_attention."),
    (r"^(decoder\.layers\.\d+)\.norm1\.", r"\1.self_norm."),
    (r"^(decoder\.layers\.\d+)\.norm2\.", r"\1.cross_norm."),
    (r"^(decoder\.layers\.\d+)\.norm3\.", r"\1.task_features.feedforward.norm."),
    (r"^(decoder\.layers\.\d+)\.(linear[12])\.", r"\1.task_features.feedforward.\2."),
    (r"attention\.in_proj_", "attention.qkv."),
    (r"attention\.out_proj\.", "attention.out."),
]


def recognises(tensors: Mapping[str, Tensor]) -> bool:
    """Returns whether these are names of DETR and not of a successor, whose cross attention is named differently."""
    return any(re.match(r"transformer\.decoder\.layers\.\d+\.multihead_attn\.", name) for name in tensors)


def rename_file(file: PthFile) -> Renamed:
    """Returns the checkpoint under our names. Raises InputError when tensors that tell its sizes are missing."""
    tensors, counters = without(file.tensors, r"\.num_batches_tracked$")
    renamed = rename_all(tensors, _rename)
    notes = []
    rows = len(renamed.get("decoder.class_logits.weight", ()))
    if rows == _COCO_ROWS:
        used = torch.tensor([*coco_categories().ids, _COCO_ROWS - 1])
        renamed |= {name: tensor[used] for name, tensor in renamed.items() if name.startswith("decoder.class_logits.")}
        notes.append(
            f"{rows - len(used)} of the {rows} rows of the class head were left out: they belong to category ids "
            "that COCO never used, and without them scores are slightly higher"
        )
    elif rows:
        notes.append(f"the class head has {rows} rows, not COCO's {_COCO_ROWS}: each row but the last becomes a class")
    if counters:
        notes.append(f"{counters} num_batches_tracked tensors were left out: they count training steps of batch norm")
    notes.append(
        "the file does not state the number of attention heads, the dropout, and the pixel mean and std; the published "
        "ones are used; nor does it state whether its last stage is dilated (DC5), which is not supported"
    )
    return Renamed("DETR", _infer_config(renamed, file.source), renamed, None, notes)


def _rename(name: str) -> str:
    for old, new in _RULES:
        name = re.sub(old, new, name)
    return name


def _infer_config(tensors: Mapping[str, Tensor], source: str) -> DETRConfig:
    try:
        proposals, width = tensors["query_positions"].shape
        return DETRConfig(
            num_classes=len(tensors["decoder.class_logits.weight"]) - 1,
            proposals=proposals,
            backbone=infer_backbone(tensors, source),
            width=width,
            encoder_layers=count(tensors, r"encoder\.(\d+)\."),
            decoder_layers=count(tensors, r"decoder\.layers\.(\d+)\."),
            feedforward_width=len(tensors["decoder.layers.0.task_features.feedforward.linear1.weight"]),
        )
    except KeyError as error:
        raise InputError(
            f"{source} is not a complete DETR: {error.args[0]} (our name) is missing among its {len(tensors)} tensors."
        ) from error
