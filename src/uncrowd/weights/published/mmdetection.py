"""mmdetection's naming of Sparse R-CNN, from version 2.9 on.

Its numbers mean what ours do: RGB pixels of the same mean and deviation, box deltas whose target_stds (.5, .5, 1, 1)
are divisions by (2, 2, 1, 1), RoIAlign on the same levels. One clamp differs: a side changes there at most by a factor
of 62.5 a stage, either way; here it grows at most by 6,250.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from uncrowd.errors import InputError
from uncrowd.weights.published.pth import PthFile, Renamed, Rule, by_first_rule, rename_all, without
from uncrowd.weights.published.sparse_rcnn import infer_config

_TRUNK_RULES: list[Rule] = [
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
    """Whether these names are mmdetection's of a Sparse R-CNN, whole or not."""
    return any(re.match(r"rpn_head\.init_proposal_|roi_head\.bbox_head\.\d+\.instance_int", name) for name in tensors)


def rename_file(file: PthFile) -> Renamed:
    """Returns the checkpoint in our terms. Raises InputError when its configuration is of a model we do not have."""
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
            f"{file.source} names {len(names)} classes and scores {config.num_classes}; "
            "only class heads with one sigmoid a class can be taken over."
        )
    if "pixels" in settings:
        config = replace(config, backbone=replace(config.backbone, **settings["pixels"]))
    notes = []
    if counters:
        notes.append(f"{counters} num_batches_tracked were left out: they count the steps of batch norm's training")
    if copies:
        notes.append(f"{copies} tensors named ema_... were left out: a second set of the same weights")
    if "ema_state_dict" in file.beside:
        notes.append("ema_state_dict was left out: mmdetection keeps the averaged weights under state_dict")
    if not settings:
        notes.append("the file does not say its attention heads and pixel values: those of the published ones are used")
    return Renamed("mmdetection's Sparse R-CNN", config, renamed, names, notes)


def _rename(name: str) -> str:
    if in_stage := re.match(r"roi_head\.bbox_head\.(\d+)\.(.*)", name):
        number, rest = in_stage.groups()
        return f"head.stages.{number}.{by_first_rule(rest, _STAGE_RULES)}"
    return by_first_rule(name, _TRUNK_RULES)


def _class_names(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Version 2 has CLASSES, version 3 dataset_meta with classes; either may be a single name."""
    dataset = meta.get("dataset_meta")
    of_dataset = (dataset.get("classes") or dataset.get("CLASSES")) if isinstance(dataset, dict) else None
    names = meta.get("CLASSES") or of_dataset
    if isinstance(names, str):
        return (names,)
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None


def _settings(meta: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What the tensors do not tell, from the training configuration that the file may carry as text.

    Keys: heads, and pixels (fields of BackboneConfig). Empty without such a text.
    """
    text = meta.get("cfg", meta.get("config"))
    if not isinstance(text, str) or "DIIHead" not in text:
        return {}
    if re.search(r"to_rgb=False|style='caffe'", text):
        raise InputError(
            f"{source} was trained on BGR pixels or a Caffe-style backbone, which this model does not have."
        )
    for coding in _numbers(text, "target_stds") - {(0.5, 0.5, 1.0, 1.0)}:
        raise InputError(f"{source} codes boxes with target_stds {coding}; only (0.5, 0.5, 1.0, 1.0) can be used.")
    settings: dict[str, Any] = {}
    if len(heads := set(re.findall(r"\bnum_heads=(\d+)", text))) == 1:
        settings["heads"] = int(heads.pop())
    mean, std = _numbers(text, "mean"), _numbers(text, "std")
    if len(mean) == len(std) == 1:
        settings["pixels"] = {"mean": mean.pop(), "std": std.pop()}
    return settings


def _numbers(text: str, key: str) -> set[tuple[float, ...]]:
    """The different lists of numbers that `key=[...]` gives in a configuration."""
    lists = re.findall(rf"\b{key}=[\[(]([\d.,\s]+)[\])]", text)
    return {tuple(float(number) for number in numbers.split(",") if number.strip()) for numbers in lists}
