"""Sparse R-CNN, with the paper's modules or without, operation for operation as the public code computes it.

It works on whole tensors and has gradients, so the model is compared with it and timed against it. Nothing is fused,
regrouped or laid out differently in memory. It uses only the weights of the model's modules.

Shapes: b images, n queries of width d, k = b * n boxes, p positions of a pooled box.
"""

import math
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchvision.ops import roi_align

from uncrowd.models.attention import MultiHeadAttention
from uncrowd.models.dynamic_conv import DynamicConv
from uncrowd.models.feedforward import FeedForward
from uncrowd.models.interaction import ChannelWeighted, Entangled, OutLayer
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.models.stage import Stage, StageConfig
from uncrowd.structures import Decoded, StageOutput


class PlainSparseRCNN(nn.Module):
    """`model(images, sizes)` and `model.decode(outputs)` as they would be if nobody had made them faster.

    It shares the model's parameters and takes its buffers as they are now: move and cast the model before, or pass a
    copy of it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: SparseRCNN):
        super().__init__()
        self.config = model.config.stage
        assert self.config.attention in ("content", "iou")
        assert self.config.interaction in ("entangled", "dcw")
        self.register_buffer("mean", model.mean, persistent=False)
        self.register_buffer("std", model.std, persistent=False)
        self.body = body_with_norms(model)
        self.norms = model.backbone.norms
        self.fpn = model.pyramid.fpn
        self.proposal_boxes_cxcywh_norm = model.proposal_boxes_cxcywh_norm
        self.proposal_queries = model.proposal_queries
        self.stages = model.head.stages

    def forward(self, images: Tensor, sizes: Tensor) -> list[StageOutput]:
        """images: (b, 3, h, w), RGB in 0-255. sizes: (b, 2), (height, width) before padding, on any device."""
        heights_widths: list[tuple[int, int]] = sizes.tolist()
        features = self.features(normalised(images, heights_widths, self.mean, self.std))
        scale = self.proposal_queries.new_tensor([[w, h, w, h] for h, w in heights_widths])
        centre, size = self.proposal_boxes_cxcywh_norm.split(2, dim=-1)
        boxes = torch.cat([centre - size / 2, centre + size / 2], dim=-1)[None] * scale[:, None]
        return self.head(features, boxes, self.proposal_queries[None].repeat(len(images), 1, 1))

    def head(self, features: list[Tensor], boxes: Tensor, queries: Tensor) -> list[StageOutput]:
        """features: P2 to P5. boxes: (b, n, 4). queries: (b, n, d)."""
        outputs = []
        for stage in self.stages:
            assert isinstance(stage, Stage)
            outputs.append(stage_output(stage, self.config, features, boxes, queries))
            boxes, queries = outputs[-1].boxes.detach(), outputs[-1].queries
        return outputs

    def features(self, images: Tensor) -> list[Tensor]:
        """Returns P2 to P5 of normalised images."""
        features = self.body(images)
        if self.norms is not None:  # Swin's, which are channels last
            features = [norm(n, f).permute(0, 3, 1, 2).contiguous() for n, f in zip(self.norms, features, strict=True)]
        return list(self.fpn({str(level): feature for level, feature in enumerate(features)}).values())

    def decode(self, outputs: list[StageOutput]) -> Decoded:
        """Returns the n best of the n * classes scores, image by image."""
        found = []
        for logits, boxes in zip(outputs[-1].logits, outputs[-1].boxes, strict=True):
            n, classes = logits.shape
            scores, best = logits.sigmoid().flatten().topk(n)
            labels = torch.arange(classes, device=logits.device).repeat(n)[best]
            found.append((boxes[:, None].repeat(1, classes, 1).flatten(0, 1)[best], scores, labels))
        return Decoded(*(torch.stack(part) for part in zip(*found, strict=True)))


class FrozenNorm(nn.Module):
    """Detectron2's frozen batch norm; with a gradient, it saves nothing for the gradient of its own weights."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: nn.BatchNorm2d):
        super().__init__()
        self.eps = norm.eps
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, getattr(norm, name).detach())

    def forward(self, x: Tensor) -> Tensor:
        if not x.requires_grad:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        bias = self.bias - self.running_mean * scale
        return x * scale[None, :, None, None].to(x.dtype) + bias[None, :, None, None].to(x.dtype)


def body_with_norms(model: SparseRCNN) -> nn.Module:
    """Returns the backbone as timm builds it, with the model's parameters and each norm as a separate operation."""
    config = model.backbone.config
    assert config.norm == "frozen_batch"
    assert not config.drop_path
    is_swin = config.name.startswith("swin")
    options: dict[str, Any] = {"strict_img_size": False, "drop_path_rate": 0.0} if is_swin else {}
    body = timm.create_model(config.name, features_only=True, out_indices=(-4, -3, -2, -1), **options)
    for name, module in list(body.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            assert type(module) is nn.BatchNorm2d  # some of timm's norms include an activation
            body.set_submodule(name, FrozenNorm(module))
    lent = model.backbone.body.state_dict(keep_vars=True)
    for name in body.state_dict():
        owner, _, own_name = name.rpartition(".")
        setattr(body.get_submodule(owner), own_name, lent[name])
    return body.to(model.proposal_queries)  # Swin's position tables, which are not in the state


def normalised(images: Tensor, heights_widths: list[tuple[int, int]], mean: Tensor, std: Tensor) -> Tensor:
    """Normalises each image, and then pads it with 0 to sides that are multiples of 32."""
    height, width = (32 * math.ceil(side / 32) for side in images.shape[-2:])
    batch = mean.new_zeros(len(images), 3, height, width)
    for place, image, (h, w) in zip(batch, images, heights_widths, strict=True):
        place[:, :h, :w] = (image[:, :h, :w].to(mean.dtype) - mean) / std
    return batch


def stage_output(
    stage: Stage, config: StageConfig, features: list[Tensor], boxes: Tensor, queries: Tensor
) -> StageOutput:
    """features: P2 to P5. boxes: (b, n, 4). queries: (b, n, d)."""
    b, n, d = queries.shape
    roi = pooled(features, boxes, config.pooled_size).view(b * n, d, -1).permute(2, 0, 1)  # (p, k, d)
    assert isinstance(stage.attention, MultiHeadAttention)
    assert stage.attention_norm is not None
    overlap = pairwise_iou(boxes) if config.attention == "iou" else None
    queries = norm(stage.attention_norm, queries + self_attention(stage.attention, config.heads, queries, overlap))
    queries = queries.reshape(1, b * n, d)
    if isinstance(stage.interaction, Entangled):
        class_features = box_features = queries = entangled(stage.interaction, queries, roi)
    else:
        assert isinstance(stage.interaction, ChannelWeighted)
        class_features, box_features = channel_weighted(stage.interaction, queries, roi)
        queries = class_features + box_features
    logits = linear(stage.class_logits, tower(stage.class_tower, class_features))
    deltas = linear(stage.box_deltas, tower(stage.box_tower, box_features))
    refined = apply_deltas(deltas.view(b * n, 4), boxes.view(b * n, 4))
    return StageOutput(logits=logits.view(b, n, -1), boxes=refined.view(b, n, 4), queries=queries.view(b, n, d))


def pooled(features: list[Tensor], boxes: Tensor, size: int) -> Tensor:
    """Detectron2's pooler: pools level by level and restores the order of the boxes. Returns (k, d, size, size)."""
    image = torch.arange(len(boxes), device=boxes.device).repeat_interleave(boxes.shape[1])
    boxes = boxes.flatten(0, 1)
    rois = torch.cat([image[:, None].to(boxes.dtype), boxes], dim=1)
    side = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    level_of = torch.floor(4 + torch.log2(side / 224 + 1e-8)).clamp(2, 5).long()
    result = features[0].new_zeros(len(rois), features[0].shape[1], size, size)
    for level, feature in enumerate(features, start=2):
        here = (level_of == level).nonzero()[:, 0]
        result[here] = roi_align(feature, rois[here], size, 1 / 2**level, 2, aligned=True).to(result.dtype)
    return result


def pairwise_iou(boxes: Tensor) -> Tensor:
    """boxes: (b, n, 4), all with an area above 0. Returns (b, n, n)."""
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    top_left = torch.max(boxes[:, :, None, :2], boxes[:, None, :, :2])
    bottom_right = torch.min(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    width, height = (bottom_right - top_left).clamp(min=0).unbind(-1)
    intersection = width * height
    return intersection / (area[:, :, None] + area[:, None, :] - intersection)


def self_attention(attention: MultiHeadAttention, heads: int, queries: Tensor, overlap: Tensor | None) -> Tensor:
    """Equation 2 or, with the overlap (b, n, n), Equation 3 with its plain exponential, as in the release."""
    b, n, d = queries.shape
    q, k, v = linear(attention.qkv, queries).view(b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
    weights = q @ k.transpose(-2, -1) / math.sqrt(d // heads)
    if overlap is None:
        weights = weights.softmax(dim=-1)
    else:
        weights = weights.exp() * overlap[:, None]
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return linear(attention.out, (weights @ v).transpose(1, 2).reshape(b, n, d))


def dynamic_conv(convolution: DynamicConv, queries: Tensor, roi: Tensor) -> Tensor:
    """queries: (1, k, d). roi: (p, k, d). Returns (k, p, d)."""
    d, hidden = roi.shape[-1], convolution.norm1.weight.numel()
    roi = roi.permute(1, 0, 2)
    kernels = linear(convolution.kernels, queries).permute(1, 0, 2)
    reduce = kernels[:, :, : d * hidden].view(-1, d, hidden)
    expand = kernels[:, :, d * hidden :].view(-1, hidden, d)
    roi = F.relu(norm(convolution.norm1, torch.bmm(roi, reduce)))
    return F.relu(norm(convolution.norm2, torch.bmm(roi, expand)))


def entangled(interaction: Entangled, queries: Tensor, roi: Tensor) -> Tensor:
    """queries: (1, k, d). roi: (p, k, d). Returns (1, k, d)."""
    objects = out_layer(interaction.out, dynamic_conv(interaction.dynamic_conv, queries, roi))
    return feedforward(interaction.feedforward, norm(interaction.norm, queries + objects))


def channel_weighted(interaction: ChannelWeighted, queries: Tensor, roi: Tensor) -> list[Tensor]:
    """queries: (1, k, d). roi: (p, k, d). Returns class and box features, (1, k, d) each."""
    roi = dynamic_conv(interaction.dynamic_conv, queries, roi)
    features = []
    for branch in (interaction.class_branch, interaction.box_branch):
        assert isinstance(branch.mask_norm, nn.Sequential)
        assert isinstance(branch.residual, nn.Sequential)
        mask = linear(branch.mask.expand, linear(branch.mask.reduce, queries)).sigmoid()
        weighted = F.relu(norm(branch.mask_norm[0], roi * mask.permute(1, 0, 2)))
        residual = norm(branch.residual[1], linear(branch.residual[0], queries))
        objects = norm(branch.norm, residual + out_layer(branch.out, weighted))
        features.append(feedforward(branch.feedforward, objects))
    return features


def out_layer(out: OutLayer, roi: Tensor) -> Tensor:
    """roi: (k, p, d). Returns (k, d)."""
    return F.relu(norm(out.norm, linear(out.linear, roi.flatten(1))))


def feedforward(module: FeedForward, x: Tensor) -> Tensor:
    return norm(module.norm, x + linear(module.linear2, F.relu(linear(module.linear1, x))))


def tower(layers: nn.Sequential, x: Tensor) -> Tensor:
    for first in range(0, len(layers), 3):
        x = F.relu(norm(layers[first + 1], linear(layers[first], x)))
    return x


def apply_deltas(deltas: Tensor, boxes: Tensor) -> Tensor:
    """deltas: (k, 4), (dx, dy, dw, dh) weighed 2, 2, 1, 1. boxes: (k, 4). Returns (k, 4), not clipped."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    x = boxes[:, 0] + width / 2 + deltas[:, 0] / 2 * width
    y = boxes[:, 1] + height / 2 + deltas[:, 1] / 2 * height
    width = width * deltas[:, 2].clamp(max=math.log(100_000 / 16)).exp()
    height = height * deltas[:, 3].clamp(max=math.log(100_000 / 16)).exp()
    return torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], dim=-1)


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.Linear)
    return F.linear(x, layer.weight, layer.bias)


def norm(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.LayerNorm)
    return F.layer_norm(x, layer.normalized_shape, layer.weight, layer.bias, layer.eps)
