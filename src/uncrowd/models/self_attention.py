"""Self attention among the queries: Equations 1 to 3, Algorithm 1.

Shapes: b images, n queries of width d.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncrowd.boxes import at_least_fp32, pairwise_iou
from uncrowd.models.attention import MultiHeadAttention
from uncrowd.ops.precision import without_autocast

AttentionKind = Literal["content", "iou", "iou_only", "none"]


def build_self_attention(kind: AttentionKind, width: int, heads: int) -> nn.Module | None:
    """Returns the module that `forward(queries, boxes)`, or None for no self attention at all (w/o MSA, Table 1)."""
    match kind:
        case "content":
            return ContentAttention(width, heads)
        case "iou":
            return IoUEnhancedAttention(width, heads)
        case "iou_only":
            return IoUOnlyAttention(width)
        case "none":
            return None


class ContentAttention(MultiHeadAttention):
    """Multi-head self attention as everyone knows it (MSA, Eq. 1 and 2); the boxes play no part."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0):
        super().__init__(width, heads, dropout)
        # Sparse R-CNN's is nn.MultiheadAttention, whose biases start at 0; the release's IoU-ESA has plain linears.
        for layer in (self.qkv, self.out):
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        queries: Float[Tensor, "b n d"],
        boxes: Float[Tensor, "b n 4"],
        positions: Float[Tensor, "b n d"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Returns what each query gathered from the others, without residual.

        positions: what DETR adds to queries and keys, and not to values.
        """
        placed = queries if positions is None else queries + positions
        return self.out(self.gather(*self.project(placed, placed, queries)))


class IoUEnhancedAttention(MultiHeadAttention):
    """IoU-ESA (Eq. 3, Algorithm 1): attention weights multiplied by the IoU of the boxes the stage receives.

    exp(attn) * IoU normalised over the row equals softmax(attn + log IoU), which does not overflow; it is computed in
    at least fp32 also under mixed precision. No parameter is added.
    """

    def forward(
        self,
        queries: Float[Tensor, "b n d"],
        boxes: Float[Tensor, "b n 4"],
        positions: Float[Tensor, "b n d"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Returns what each query gathered from those its box overlaps. boxes: network pixels, unclipped.

        positions: what DETR adds to queries and keys, and not to values.
        """
        placed = queries if positions is None else queries + positions
        query, key, value = map(at_least_fp32, self.project(placed, placed, queries))
        with without_autocast(query.device):
            overlap = log_iou(boxes).to(query.dtype)[:, None]  # shared by all heads
            gathered = self.gather(query, key, value, mask=overlap)
        return self.out(gathered)


class IoUOnlyAttention(nn.Module):
    """IoU-MSA of Table 1: Eq. 3 with attn = 0, so the row-normalised IoU alone routes the values."""

    def __init__(self, width: int):
        super().__init__()
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, queries: Float[Tensor, "b n d"], boxes: Float[Tensor, "b n 4"]) -> Float[Tensor, "b n d"]:
        """Returns the mean of the values, weighted by overlap. boxes: network pixels, unclipped."""
        overlap = self_iou(boxes)
        value = at_least_fp32(self.value(queries))
        with without_autocast(value.device):
            routed = (overlap / overlap.sum(dim=-1, keepdim=True)).to(value.dtype) @ value
        return self.out(routed)


def self_iou(boxes: Float[Tensor, "b n 4"]) -> Float[Tensor, "b n n"]:
    """IoU of every pair of an image's boxes, 1 on the diagonal: a box without area still overlaps itself.

    So no row is empty, and every query keeps at least its own value.
    """
    overlap = pairwise_iou(boxes, boxes)
    own = torch.eye(boxes.shape[-2], dtype=torch.bool, device=boxes.device)
    return overlap.masked_fill(own, 1.0)


def log_iou(boxes: Float[Tensor, "b n 4"]) -> Float[Tensor, "b n n"]:
    """Logarithm of `self_iou`; -inf for pairs that do not overlap, with zero (never NaN) gradient there."""
    overlap = self_iou(boxes)
    overlapping = overlap > 0
    return overlap.where(overlapping, 1.0).log().masked_fill(~overlapping, -torch.inf)
