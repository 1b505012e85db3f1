"""DETR's transformer without dropout, one cell, head and query at a time, with only the weights of the modules."""

import math

import torch
from torch import Tensor, nn

from tests.plain.iou import self_iou
from uncrowd.models.attention import MultiHeadAttention
from uncrowd.models.detr import DETR
from uncrowd.models.feedforward import FeedForward
from uncrowd.models.transformer import ChannelWeightedFeatures, DecoderLayer, SharedFeatures


def sine_position(row: int, column: int, rows: int, columns: int, width: int) -> list[float]:
    """Returns the encoding of a cell (counted from 0) of an image with these rows and columns without padding."""
    encoding = []
    for number, count in ((row, rows), (column, columns)):
        share = (number + 1) / (count + 1e-6) * 2 * math.pi
        for channel in range(width // 2):
            angle = share / 10000 ** (2 * (channel // 2) / (width // 2))
            encoding.append(math.sin(angle) if channel % 2 == 0 else math.cos(angle))
    return encoding


def attention(module: MultiHeadAttention, query: Tensor, key: Tensor, value: Tensor, factor: Tensor) -> Tensor:
    """query: (n, d). key, value: (k, d). factor: (n, k), multiplies exp(attn). Returns (n, d)."""
    (wq, wk, wv), (bq, bk, bv) = module.qkv.weight.chunk(3), module.qkv.bias.chunk(3)
    q, k, v = query @ wq.T + bq, key @ wk.T + bk, value @ wv.T + bv
    d_head = q.shape[1] // module.heads
    gathered = torch.zeros_like(q)
    for head in range(module.heads):
        own = slice(head * d_head, (head + 1) * d_head)
        for i in range(len(q)):
            weights = [factor[i, j] * torch.exp(q[i, own] @ k[j, own] / math.sqrt(d_head)) for j in range(len(k))]
            for j, weight in enumerate(weights):
                gathered[i, own] += weight / sum(weights) * v[j, own]
    return gathered @ module.out.weight.T + module.out.bias


def feedforward(module: FeedForward, x: Tensor) -> Tensor:
    hidden = (x @ module.linear1.weight.T + module.linear1.bias).clamp(min=0)
    return norm(module.norm, x + hidden @ module.linear2.weight.T + module.linear2.bias)


def norm(module: nn.LayerNorm, x: Tensor) -> Tensor:
    deviation = x - x.mean(dim=-1, keepdim=True)
    variance = deviation.square().mean(dim=-1, keepdim=True)
    return deviation / (variance + 1e-5).sqrt() * module.weight + module.bias


def decoder_layer(
    layer: DecoderLayer, queries: Tensor, positions: Tensor, overlap: Tensor, cells: Tensor, cell_positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns class features, box features and next queries of an unpadded image. overlap: (n, n), IoU or ones."""
    placed = queries + positions
    q1 = norm(layer.self_norm, queries + attention(layer.self_attention, placed, placed, queries, overlap))
    everywhere = torch.ones(len(queries), len(cells), dtype=cells.dtype)
    gathered = attention(layer.cross_attention, q1 + positions, cells + cell_positions, cells, everywhere)
    objects = norm(layer.cross_norm, q1 + gathered)
    if isinstance(layer.task_features, SharedFeatures):
        features = feedforward(layer.task_features.feedforward, objects)
        return features, features, features
    assert isinstance(layer.task_features, ChannelWeightedFeatures)
    of_task = []
    for branch in (layer.task_features.class_branch, layer.task_features.box_branch):
        reduced = q1 @ branch.mask.reduce.weight.T + branch.mask.reduce.bias
        mask = 1 / (1 + torch.exp(-(reduced @ branch.mask.expand.weight.T + branch.mask.expand.bias)))
        of_task.append(feedforward(branch.feedforward, mask * objects))
    return of_task[0], of_task[1], of_task[0] + of_task[1]


def decoder(
    model: DETR, cells: Tensor, cell_positions: Tensor, size: tuple[int, int]
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Returns logits, boxes in pixels and next queries of every layer, for one image of (height, width) `size`."""
    height, width = size
    positions, last = model.query_positions, model.decoder
    queries, overlap = torch.zeros_like(positions), torch.ones(len(positions), len(positions), dtype=cells.dtype)
    outputs = []
    for layer in last.layers:
        assert isinstance(layer, DecoderLayer)
        of_class, of_box, queries = decoder_layer(layer, queries, positions, overlap, cells, cell_positions)
        logits = norm(last.norm, of_class) @ last.class_logits.weight.T + last.class_logits.bias
        boxes = []
        for cx, cy, w, h in last.boxes_cxcywh_norm(norm(last.norm, of_box)).tolist():
            x1, y1, x2, y2 = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
            boxes.append([x1 * width, y1 * height, x2 * width, y2 * height])
        outputs.append((logits, torch.tensor(boxes, dtype=cells.dtype), queries))
        if model.config.attention == "iou":
            overlap = torch.tensor(self_iou(boxes), dtype=cells.dtype)
    return outputs
