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
    """Returns a module with `forward(queries, boxes)`, or None for no self attention (w/o MSA, Table 1)."""
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
    """Standard multi-head self attention (MSA, Eq. 1 and 2); it does not use the boxes."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0):
        super().__init__(width, heads, dropout)
        # Sparse R-CNN uses nn.MultiheadAttention, whose biases start at 0. IoU-ESA in the release uses nn.Linear.
        for layer in (self.qkv, self.out):
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        queries: Float[Tensor, "b n d"],
        boxes: Float[Tensor, "b n 4"],
        positions: Float[Tensor, "b n d"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Returns the attention output of each query, without residual. boxes: not used.

        positions: DETR's position embeddings, which are added to queries and keys but not to values.
        """
        placed = queries if positions is None else queries + positions
        return self.out(self.gather(*self.project(placed, placed, queries)))


class IoUEnhancedAttention(MultiHeadAttention):
    """IoU-ESA (Eq. 3, Algorithm 1): attention weights are multiplied by the IoU of the boxes that the stage receives.

    exp(attn) * IoU, normalised over each row, equals softmax(attn + log IoU). The latter does not overflow, and it is
    computed in fp32 or better under mixed precision too. IoU-ESA adds no parameters.
    """

    def forward(
        self,
        queries: Float[Tensor, "b n d"],
        boxes: Float[Tensor, "b n 4"],
        positions: Float[Tensor, "b n d"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Returns the attention output of each query, without residual. boxes: in network pixels, not clipped.

        positions: DETR's position embeddings, which are added to queries and keys but not to values.
        """
        placed = queries if positions is None else queries + positions
        query, key, value = map(at_least_fp32, self.project(placed, placed, queries))
        with without_autocast(query.device):
            overlap = log_iou(boxes).to(query.dtype)[:, None]  # shared by all heads
            gathered = self.gather(query, key, value, mask=overlap)
        return self.out(gathered)


class IoUOnlyAttention(nn.Module):
    """IoU-MSA of Table 1: Eq. 3 with attn = 0, so that the attention weights are the row-normalised IoU alone."""

    def __init__(self, width: int):
        super().__init__()
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, queries: Float[Tensor, "b n d"], boxes: Float[Tensor, "b n 4"]) -> Float[Tensor, "b n d"]:
        """Returns the mean of the values weighted by IoU, projected. boxes: in network pixels, not clipped."""
        overlap = self_iou(boxes)
        value = at_least_fp32(self.value(queries))
        with without_autocast(value.device):
            routed = (overlap / overlap.sum(dim=-1, keepdim=True)).to(value.dtype) @ value
        return self.out(routed)


def self_iou(boxes: Float[Tensor, "b n 4"]) -> Float[Tensor, "b n n"]:
    """Returns the IoU of every pair of boxes of an image.

    The diagonal is 1 also for a box without area, so that every query attends at least to itself.
    """
    overlap = pairwise_iou(boxes, boxes)
    own = torch.eye(boxes.shape[-2], dtype=torch.bool, device=boxes.device)
    return overlap.masked_fill(own, 1.0)


def log_iou(boxes: Float[Tensor, "b n 4"]) -> Float[Tensor, "b n n"]:
    """Returns the logarithm of `self_iou`: -inf for pairs that do not overlap, with a gradient of zero (never NaN)."""
    overlap = self_iou(boxes)
    overlapping = overlap > 0
    return overlap.where(overlapping, 1.0).log().masked_fill(~overlapping, -torch.inf)
