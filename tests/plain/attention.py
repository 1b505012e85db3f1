"""Algorithm 1 and Equation 3 of the paper, literally: one head and one query at a time.

The only difference from Algorithm 1 is the scale 1 / sqrt(d_head) of Equation 2, which the algorithm leaves out.
"""

import math

import torch
from torch import Tensor, nn

from tests.plain.iou import Box
from uncrowd.models.self_attention import LearnedIoUAttention


def iou_enhanced_attention(x: Tensor, iou: Tensor, fc_qkv: nn.Linear, fc_out: nn.Linear, heads: int) -> Tensor:
    """x: (n, d) queries of one image. iou: (n, n). Returns (n, d)."""
    n, d = x.shape
    d_head = d // heads
    q, k, v = fc_qkv(x).chunk(3, dim=-1)
    gathered = torch.zeros(n, d, dtype=x.dtype)
    for head in range(heads):
        own = slice(head * d_head, (head + 1) * d_head)
        for i in range(n):
            weights = [torch.exp(q[i, own] @ k[j, own] / math.sqrt(d_head)) * iou[i, j] for j in range(n)]
            total = sum(weights)
            for j in range(n):
                gathered[i, own] += weights[j] / total * v[j, own]
    return fc_out(gathered)


def iou_only_attention(x: Tensor, iou: Tensor, value: nn.Linear, out: nn.Linear) -> Tensor:
    """Equation 3 with attn = 0 (IoU-MSA of Table 1): exp(0) * IoU over the sum of its row."""
    v = value(x)
    gathered = torch.zeros_like(v)
    for i in range(len(x)):
        for j in range(len(x)):
            gathered[i] += iou[i, j] / iou[i].sum() * v[j]
    return out(gathered)


def learned_iou_attention(
    x: Tensor, boxes: list[Box], iou: Tensor, scores: list[float], module: LearnedIoUAttention
) -> Tensor:
    """Equation 3 with the three learned terms, one head and one pair at a time. x: (n, d). iou: (n, n)."""
    n, d = x.shape
    d_head = d // module.heads
    q, k, v = module.qkv(x).chunk(3, dim=-1)
    gathered = torch.zeros(n, d, dtype=x.dtype)
    for head in range(module.heads):
        own = slice(head * d_head, (head + 1) * d_head)
        for i in range(n):
            weights = []
            for j in range(n):
                features = torch.tensor(geometry(boxes[i], boxes[j]), dtype=x.dtype)
                weights.append(
                    torch.exp(q[i, own] @ k[j, own] / math.sqrt(d_head))
                    * max(float(iou[i, j]), 1e-10) ** (1 + module.extra_power[head])
                    * torch.exp((module.geometry.weight[head] @ features).clamp(min=-1))
                    * torch.exp(module.score_weight[head] * max(scores[j] - scores[i], 0.0))
                )
            for j in range(n):
                gathered[i, own] += weights[j] / sum(weights) * v[j, own]
    return module.out(gathered)


def geometry(a: Box, b: Box) -> list[float]:
    """The 32 sines and then the 32 cosines of Relation-DETR's four offsets of box b from box a, 8 frequencies each."""
    (aw, ah), (bw, bh) = ((max(x2 - x1, 1.0), max(y2 - y1, 1.0)) for x1, y1, x2, y2 in (a, b))
    dx, dy = (abs((a[i] + a[i + 2]) - (b[i] + b[i + 2])) / 2 for i in (0, 1))
    offsets = [math.log(dx / aw + 1), math.log(dy / ah + 1), math.log(aw / bw), math.log(ah / bh)]
    angles = [100 * offset / 10_000 ** (k / 8) for offset in offsets for k in range(8)]
    return [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
