"""DETR's transformer (arXiv:2005.12872), post-norm, with the paper's two modules as choices of its decoder.

Shapes: b images, k = h * w cells of the coarsest feature map, n queries, d the width.
"""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from uncrowd.models.attention import ImageAttention, MultiHeadAttention
from uncrowd.models.channel_weighting import ChannelMask
from uncrowd.models.feedforward import FeedForward
from uncrowd.models.interaction import Interacted
from uncrowd.models.self_attention import ContentAttention, IoUEnhancedAttention

DecoderAttentionKind = Literal["content", "iou"]
DecoderInteractionKind = Literal["entangled", "dcw"]
TEMPERATURE = 10_000
EPSILON = 1e-6


class Memory(NamedTuple):
    """The cells of a feature map. positions: the encoding of where each lies. inside: False for padding."""

    features: Float[Tensor, "b k d"]
    positions: Float[Tensor, "b k d"]
    inside: Bool[Tensor, "b k"]


def sine_positions(inside: Bool[Tensor, "b h w"], width: int, dtype: torch.dtype) -> Float[Tensor, "b h w {width}"]:
    """Returns DETR's encoding of where each cell lies in its image, not counting padding.

    The first half of the channels encodes the row, the second the column. Each is the share of the image up to and
    including the cell, times 2 pi; sine and cosine of it alternate, at frequencies from 1 down to nearly 1 / 10000.
    """
    half = width // 2
    channels = torch.arange(0, half, 2, dtype=dtype, device=inside.device)
    encodings = []
    for dim in (1, 2):
        cells = inside.cumsum(dim).to(dtype)
        last = cells.narrow(dim, cells.shape[dim] - 1, 1)
        angle = (cells / (last + EPSILON) * 2 * math.pi)[..., None] / TEMPERATURE ** (channels / half)
        encodings.append(torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2))
    return torch.cat(encodings, dim=-1)


class EncoderLayer(nn.Module):
    """The cells of an image attend to each other."""

    def __init__(self, width: int, heads: int, feedforward_width: int, dropout: float):
        super().__init__()
        self.attention = ImageAttention(width, heads, dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, feedforward_width, dropout)
        self.dropout = nn.Dropout(dropout)
        _initialise(self)

    def forward(self, memory: Memory) -> Memory:
        """Returns the memory with new features; those of padding mean nothing, and nothing attends to them."""
        features, positions, inside = memory
        placed = features + positions
        gathered = self.attention(placed, placed, features, inside)
        features = self.attention_norm(features + self.dropout(gathered))
        return Memory(self.feedforward(features), positions, inside)


class DecoderLayer(nn.Module):
    """The queries attend to each other, then to the image, and become class and box features and the next queries.

    attention 'iou' and interaction 'dcw' are the paper's modules (Appendix C); 'content' and 'entangled' are DETR's.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        feedforward_width: int,
        dropout: float,
        *,
        attention: DecoderAttentionKind,
        interaction: DecoderInteractionKind,
    ):
        super().__init__()
        self_attention = IoUEnhancedAttention if attention == "iou" else ContentAttention
        task_features = ChannelWeightedFeatures if interaction == "dcw" else SharedFeatures
        self.self_attention = self_attention(width, heads, dropout)
        self.self_norm = nn.LayerNorm(width)
        self.cross_attention = ImageAttention(width, heads, dropout)
        self.cross_norm = nn.LayerNorm(width)
        self.task_features = task_features(width, feedforward_width, dropout)
        self.dropout = nn.Dropout(dropout)
        _initialise(self)

    def forward(
        self,
        queries: Float[Tensor, "b n d"],
        positions: Float[Tensor, "b n d"],
        boxes: Float[Tensor, "b n 4"],
        memory: Memory,
    ) -> Interacted:
        """Returns the inputs of the two heads, before the decoder's norm, and the next queries.

        positions: learned, the same in all layers. boxes: network pixels, predicted by the layer before.
        """
        features, cells, inside = memory
        gathered = self.self_attention(queries, boxes, positions=positions)
        queries = self.self_norm(queries + self.dropout(gathered))
        gathered = self.cross_attention(queries + positions, features + cells, features, inside)
        objects = self.cross_norm(queries + self.dropout(gathered))
        return self.task_features(queries, objects)


class SharedFeatures(nn.Module):
    """DETR's own design: one feature serves class, box and the next query."""

    def __init__(self, width: int, feedforward_width: int, dropout: float):
        super().__init__()
        self.feedforward = FeedForward(width, feedforward_width, dropout)

    def forward(self, queries: Float[Tensor, "b n d"], objects: Float[Tensor, "b n d"]) -> Interacted:
        """Returns the same features three times. queries: before cross attention. objects: after it."""
        objects = self.feedforward(objects)
        return Interacted(objects, objects, objects)


class ChannelWeightedFeatures(nn.Module):
    """DCW in DETR: masks from the queries before cross attention weight the queries after it, once for each task.

    Appendix C says no more than that. We read "before" as after self attention and its norm, which is the input of
    cross attention, and "after" as after its residual and norm, in the place of Sparse R-CNN's RoI features. Then each
    task has its own feed-forward with residual and norm (the independent layers of Sec. 3.3), and the next query is the
    sum of both. Unlike the authors' release for Sparse R-CNN, no norm, projection or residual is added: a second
    feed-forward and two masks already make the 48M parameters of Table 10.
    """

    def __init__(self, width: int, feedforward_width: int, dropout: float):
        super().__init__()
        self.class_branch = _WeightedQueryBranch(width, feedforward_width, dropout)
        self.box_branch = _WeightedQueryBranch(width, feedforward_width, dropout)

    def forward(self, queries: Float[Tensor, "b n d"], objects: Float[Tensor, "b n d"]) -> Interacted:
        """Returns the features of the two branches and their sum. queries: before cross attention; objects: after."""
        class_features = self.class_branch(queries, objects)
        box_features = self.box_branch(queries, objects)
        return Interacted(class_features, box_features, class_features + box_features)


class _WeightedQueryBranch(nn.Module):
    def __init__(self, width: int, feedforward_width: int, dropout: float):
        super().__init__()
        self.mask = ChannelMask(width)
        self.feedforward = FeedForward(width, feedforward_width, dropout)

    def forward(self, queries: Tensor, objects: Tensor) -> Tensor:
        return self.feedforward(objects * self.mask.mask(queries))


def _initialise(layer: nn.Module) -> None:
    """Starts matrices with Xavier and attention biases at 0, as DETR with its nn.MultiheadAttention does."""
    for parameter in layer.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    for module in layer.modules():
        if isinstance(module, MultiHeadAttention):
            nn.init.zeros_(module.qkv.bias)
            nn.init.zeros_(module.out.bias)
