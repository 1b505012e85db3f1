"""mmdetection's naming of Sparse R-CNN, from its version 2.9 on.

Its weights mean the same as ours: it normalises RGB pixels with the same mean and standard deviation, its target_stds
(.5, .5, 1, 1) for box deltas equal our divisions by (2, 2, 1, 1), and its RoIAlign reads the same levels. One clamp
differs: in one stage, a side of a box grows or shrinks by a factor of at most 62.5 there, and grows by at most 6,250
here.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from uncrowd.errors import InputError
from uncrowd.weights.published.pth import PthFile, Renamed, Rule, by_first_rule, rename_all, without
from uncrowd.weights.published.sparse_rcnn import infer_config

_MODEL_RULES: list[Rule] = [
    (r"backbone\.(conv1|bn1|layer\d)\.", r"backbone.body.\1."),
    (r"neck\.lateral_convs\.(\d)\.conv\.", r"pyramid.fpn.inner_blocks.\1.0."),
    (r"neck\.fpn_convs\.(\d)\.conv\.", r"pyramid.fpn.layer_blocks.\1.0."),
    (r"rpn_head\.init_proposal_bboxes\.weight", "proposal_boxes_cxcywh_norm"),
    (r"rpn_head\.init_proposal_features\.weight", "proposal_queries"),
]
_STAGE_RULES: list[Rule] = [
    (r"attention\.attn\.in_proj_", "attention.qkv."),
    (r"attention\.attn\.out_proj\.", "attention.out."),
    (r"instance_interactive_conv\.dynamic_layer\.", "interaction.dynamic_conv.kernels."),
    (r"instance_interactive_conv\.norm_in\.", "interaction.dynamic_conv.norm1."),
    (r"instance_interactive_conv\.norm_out\.", "interaction.dynamic_conv.norm2."),
    (r"instance_interactive_conv\.fc_layer\.", "interaction.out.linear."),
    (r"instance_interactive_conv\.fc_norm\.", "interaction.out.norm."),
    (r"instance_interactive_conv_norm\.", "interaction.norm."),
    (r"ffn\.layers\.0\.0\.", "interaction.feedforward.linear1."),
    (r"ffn\.layers\.1\.", "interaction.feedforward.linear2."),
    (r"ffn_norm\.", "interaction.feedforward.norm."),
    (r"cls_fcs\.", "class_tower."),
    (r"reg_fcs\.", "box_tower."),
    (r"fc_cls\.", "class_logits."),
    (r"fc_reg\.", "box_deltas."),
]


def recognises(tensors: Mapping[str, Tensor]) -> bool:
    """Returns whether these are mmdetection's names of a Sparse R-CNN, of which some may be missing."""
    return any(re.match(r"rpn_head\.init_proposal_|roi_head\.bbox_head\.\d+\.instance_int", name) for name in tensors)


def rename_file(file: PthFile) -> Renamed:
    """Returns the checkpoint under our names. Raises InputError when its configuration is that of another model."""
    tensors, counters = without(file.tensors, r"\.num_batches_tracked$")
    tensors, copies = without(tensors, r"^ema_")
    renamed = rename_all(tensors, _rename)

    meta = file.beside.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    settings = _settings(meta, file.source)
    config = infer_config(renamed, file.source, heads=settings.get("heads", 8))
    names = _class_names(meta)
    if names is not None and len(names) != config.num_classes:
        raise InputError(
            f"{file.source} names {len(names)} classes but scores {config.num_classes}; "
            "only class heads with one sigmoid for each class can be imported."
        )
    if "pixels" in settings:
        config = replace(config, backbone=replace(config.backbone, **settings["pixels"]))
    notes = []
    if counters:
        notes.append(f"{counters} num_batches_tracked tensors were left out: they count training steps of batch norm")
    if copies:
        notes.append(f"{copies} tensors named ema_... were left out: they are a second set of the same weights")
    if "ema_state_dict" in file.beside:
        notes.append("ema_state_dict was left out: mmdetection keeps the averaged weights under state_dict")
    if not settings:
        notes.append(
            "the file does not state the number of attention heads and the pixel mean and std; "
            "the published ones are used"
        )
    return Renamed("mmdetection's Sparse R-CNN", config, renamed, names, notes)


def _rename(name: str) -> str:
    if in_stage := re.match(r"roi_head\.bbox_head\.(\d+)\.(.*)", name):
        number, rest = in_stage.groups()
        return f"head.stages.{number}.{by_first_rule(rest, _STAGE_RULES)}"
    return by_first_rule(name, _MODEL_RULES)


def _class_names(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Returns the class names: under CLASSES in version 2, dataset_meta in version 3. Either may be a single name."""
    dataset = meta.get("dataset_meta")
    of_dataset = (dataset.get("classes") or dataset.get("CLASSES")) if isinstance(dataset, dict) else None
    names = meta.get("CLASSES") or of_dataset
    if isinstance(names, str):
        return (names,)
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None


def _settings(meta: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Returns settings that tensors do not reveal, from the training configuration that the file may hold as text.

    Keys: heads, and pixels (fields of BackboneConfig). The result is empty when the file holds no configuration.
    """
    text = meta.get("cfg", meta.get("config"))
    if not isinstance(text, str) or "DIIHead" not in text:
        return {}
    if re.search(r"to_rgb=False|style='caffe'", text):
        raise InputError(f"{source} was trained on BGR pixels or with a Caffe-style backbone; neither is supported.")
    for coding in _numbers(text, "target_stds") - {(0.5, 0.5, 1.0, 1.0)}:
        raise InputError(f"{source} encodes boxes with target_stds {coding}; only (0.5, 0.5, 1.0, 1.0) is supported.")
    settings: dict[str, Any] = {}
    if len(heads := set(re.findall(r"\bnum_heads=(\d+)", text))) == 1:
        settings["heads"] = int(heads.pop())
    mean, std = _numbers(text, "mean"), _numbers(text, "std")
    if len(mean) == len(std) == 1:
        settings["pixels"] = {"mean": mean.pop(), "std": std.pop()}
    return settings


def _numbers(text: str, key: str) -> set[tuple[float, ...]]:
    """Returns the distinct lists of numbers that `key=[...]` has in a configuration."""
    lists = re.findall(rf"\b{key}=[\[(]([\d.,\s]+)[\])]", text)
    return {tuple(float(number) for number in numbers.split(",") if number.strip()) for numbers in lists}
