"""Self attention among the queries: Equations 1 to 3, Algorithm 1, and a form of Equation 3 that learns more.

Shapes: b images, n queries of width d. All kinds receive the queries, their boxes, and their scores at the stage
before, and use what they need.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncrowd.boxes import at_least_fp32, pairwise_iou, pairwise_log_offsets
from uncrowd.models.attention import MultiHeadAttention
from uncrowd.ops.precision import PreciseLinear, without_autocast

AttentionKind = Literal["content", "iou", "iou_learned", "iou_only", "none"]

# An IoU counts as at least this much in "iou_learned".
LEAST_IOU = 1e-10
# Sine coding of relative geometry (Relation-DETR): sines and cosines of each of the four offsets, and their frequencies
# from SCALE down to nearly SCALE / TEMPERATURE.
FREQUENCIES, SCALE, TEMPERATURE = 8, 100.0, 10_000.0


def build_self_attention(kind: AttentionKind, width: int, heads: int) -> nn.Module | None:
    """Returns a module with `forward(queries, boxes, scores)`, or None for no self attention (w/o MSA, Table 1)."""
    match kind:
        case "content":
            return ContentAttention(width, heads)
        case "iou":
            return IoUEnhancedAttention(width, heads)
        case "iou_learned":
            return LearnedIoUAttention(width, heads)
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
        scores: Float[Tensor, "b n"] | None = None,
        positions: Float[Tensor, "b n d"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Returns the attention output of each query, without residual. boxes, scores: not used.

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
        scores: Float[Tensor, "b n"] | None = None,
        positions: Float[Tensor, "b n d"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Returns the attention output of each query, without residual.

        boxes: in network pixels, not clipped. scores: see `bias`. positions: DETR's position embeddings, which are
        added to queries and keys but not to values.
        """
        placed = queries if positions is None else queries + positions
        query, key, value = map(at_least_fp32, self.project(placed, placed, queries))
        with without_autocast(query.device):
            gathered = self.gather(query, key, value, mask=self.bias(boxes, scores).to(query.dtype))
        return self.out(gathered)

    def bias(
        self, boxes: Float[Tensor, "b n 4"], scores: Float[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b heads_or_1 n n"]:
        """Returns what is added to the argument of the softmax: log IoU, shared by all heads. scores: not used."""
        return log_iou(boxes)[:, None]


class LearnedIoUAttention(IoUEnhancedAttention):
    """IoU-ESA that learns how much overlap counts, and sees how boxes lie and which query scored higher.

    Head h adds to the argument of the softmax of query i and key j

        (1 + p_h) log max(IoU_ij, LEAST_IOU) + max(w_h g_ij, -1) + s_h max(score_j - score_i, 0).

    g_ij are the sine-coded offsets of the boxes (Relation-DETR, arXiv:2407.11699). p, w and s start at 0, where this is
    Eq. 3, and all three get a gradient there. IoU alone cannot tell a duplicate from a neighbour; the others can.

    - The bounds -1 and 0: Relation-DETR's ReLU(w g + c) passes no gradient where it starts at 0. With c = 1 it does,
      and the constant, which a softmax ignores, is taken off again. Without its bound, the difference of scores would
      depend on score_j alone, because score_i is the same for all keys of a query.
    - LEAST_IOU: in Eq. 3 a box without overlap attends to itself alone, and nothing that is added to log 0 changes
      that. At the start, a thousand keys without overlap together have 1e-7 of the weight of the query itself, which
      is rounding. Such weights also pass almost no gradient, so what opens them is mainly p, which learns from pairs
      that do overlap: near p = -1 a head has plain attention (Eq. 1) with a bias from geometry and scores.
    """

    def __init__(self, width: int, heads: int):
        super().__init__(width, heads)
        self.extra_power = nn.Parameter(torch.zeros(heads))
        self.geometry = PreciseLinear(8 * FREQUENCIES, heads, bias=False)
        self.score_weight = nn.Parameter(torch.zeros(heads))
        self.start_as_equation_3()

    def start_as_equation_3(self) -> None:
        """Sets the three learned terms to 0."""
        for parameter in (self.extra_power, self.geometry.weight, self.score_weight):
            nn.init.zeros_(parameter)

    def bias(
        self, boxes: Float[Tensor, "b n 4"], scores: Float[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b heads n n"]:
        """Returns what is added to the argument of the softmax.

        scores: the highest class logit of each query at the stage before; None, before the first stage, counts as
        equal scores.
        """
        overlap = self_iou(boxes).clamp(min=LEAST_IOU).log()
        scores = torch.zeros_like(boxes[..., 0]) if scores is None else at_least_fp32(scores)
        higher = (scores[:, None, :] - scores[:, :, None]).clamp(min=0)
        power, weight = (each[:, None, None] for each in (1 + self.extra_power, self.score_weight))
        lying = self.geometry(sine_coded_offsets(boxes)).clamp(min=-1).permute(0, 3, 1, 2)
        return power * overlap[:, None] + lying + weight * higher[:, None]


class IoUOnlyAttention(nn.Module):
    """IoU-MSA of Table 1: Eq. 3 with attn = 0, so that the attention weights are the row-normalised IoU alone."""

    def __init__(self, width: int):
        super().__init__()
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        queries: Float[Tensor, "b n d"],
        boxes: Float[Tensor, "b n 4"],
        scores: Float[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Returns the mean of the values weighted by IoU, projected.

        boxes: in network pixels, not clipped. scores: not used.
        """
        value = at_least_fp32(self.value(queries))
        with without_autocast(value.device):
            routed = self.weights(boxes).to(value.dtype) @ value
        return self.out(routed)

    def weights(self, boxes: Float[Tensor, "b n 4"]) -> Float[Tensor, "b n n"]:
        """Returns how much each query takes from each other one: their IoU, normalised over each row."""
        overlap = self_iou(boxes)
        return overlap / overlap.sum(dim=-1, keepdim=True)


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


def sine_coded_offsets(boxes: Float[Tensor, "b n 4"]) -> Float[Tensor, "b n n features"]:
    """Returns sines and cosines of the log offsets of every pair of boxes: `8 * FREQUENCIES` numbers, no gradient."""
    offsets = pairwise_log_offsets(boxes.detach())
    powers = torch.arange(FREQUENCIES, dtype=offsets.dtype, device=offsets.device) / FREQUENCIES
    angles = (offsets[..., None] * (SCALE / TEMPERATURE**powers)).flatten(-2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
