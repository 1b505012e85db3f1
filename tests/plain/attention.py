"""Algorithm 1 and Equation 3 of the paper, literally: one head and one query at a time.

The only difference from Algorithm 1 is the scale 1 / sqrt(d_head) of Equation 2, which the algorithm leaves out.
"""

import math

import torch
from torch import Tensor, nn


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
