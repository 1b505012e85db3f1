"""Turns a query and its RoI features into features for class and box: Figures 3 and 5, Table 2.

Shapes: k queries of all images, query width d, p = 7 * 7 positions of a RoI.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from uncrowd.models.channel_weighting import ChannelMask
from uncrowd.models.dynamic_conv import DynamicConv
from uncrowd.models.feedforward import FeedForward

InteractionKind = Literal["entangled", "half", "full", "dcw", "dcw_literal"]


class Interacted(NamedTuple):
    """Inputs of the class and box towers, and the queries of the next stage."""

    class_features: Float[Tensor, "*k d"]
    box_features: Float[Tensor, "*k d"]
    queries: Float[Tensor, "*k d"]


def build_interaction(
    kind: InteractionKind, width: int, dynamic_width: int, feedforward_width: int, positions: int
) -> nn.Module:
    """Returns a module whose `forward(queries, roi)` returns `Interacted`."""
    match kind:
        case "entangled":
            return Entangled(width, dynamic_width, feedforward_width, positions)
        case "half":
            return HalfDimension(width, dynamic_width, feedforward_width, positions)
        case "full":
            return FullDimension(width, dynamic_width, feedforward_width, positions)
        case "dcw":
            return ChannelWeighted(width, dynamic_width, feedforward_width, positions, literal=False)
        case "dcw_literal":
            return ChannelWeighted(width, dynamic_width, feedforward_width, positions, literal=True)


class OutLayer(nn.Module):
    """Maps all positions of a RoI to one object feature: linear layer, norm, ReLU."""

    def __init__(self, positions: int, channels: int, width: int):
        super().__init__()
        self.linear = nn.Linear(positions * channels, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, roi: Float[Tensor, "k p c"]) -> Float[Tensor, "k d"]:
        """Returns one feature vector for each box."""
        return F.relu(self.norm(self.linear(roi.flatten(1))), inplace=True)


class Entangled(nn.Module):
    """The interaction of Sparse R-CNN (Fig. 3a): class, box and the next query share one feature."""

    def __init__(self, width: int, dynamic_width: int, feedforward_width: int, positions: int):
        super().__init__()
        self.dynamic_conv = DynamicConv(width, width, dynamic_width)
        self.out = OutLayer(positions, width, width)
        self.norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, feedforward_width)

    def forward(self, queries: Float[Tensor, "k d"], roi: Float[Tensor, "k p d"]) -> Interacted:
        """Returns the same features three times."""
        objects = self.norm(queries + self.out(self.dynamic_conv(queries, roi)))
        objects = self.feedforward(objects)
        return Interacted(objects, objects, objects)


class HalfDimension(nn.Module):
    """Each task has half the channels (Fig. 3b) and its own layers."""

    def __init__(self, width: int, dynamic_width: int, feedforward_width: int, positions: int):
        super().__init__()
        self.class_branch = _HalfBranch(width, dynamic_width, feedforward_width, positions)
        self.box_branch = _HalfBranch(width, dynamic_width, feedforward_width, positions)

    def forward(self, queries: Float[Tensor, "k d"], roi: Float[Tensor, "k p d"]) -> Interacted:
        """Returns both halves, widened to d for the towers, and their concatenation as the next queries."""
        class_residual, box_residual = queries.chunk(2, dim=-1)
        class_roi, box_roi = roi.chunk(2, dim=-1)
        class_half, class_features = self.class_branch(queries, class_residual, class_roi)
        box_half, box_features = self.box_branch(queries, box_residual, box_roi)
        return Interacted(class_features, box_features, torch.cat([class_half, box_half], dim=-1))


class _HalfBranch(nn.Module):
    def __init__(self, width: int, dynamic_width: int, feedforward_width: int, positions: int):
        super().__init__()
        half = width // 2
        self.dynamic_conv = DynamicConv(width, half, dynamic_width)
        self.out = OutLayer(positions, half, half)
        self.norm = nn.LayerNorm(half)
        self.feedforward = FeedForward(half, feedforward_width)
        self.widen = nn.Sequential(nn.Linear(half, width), nn.LayerNorm(width))

    def forward(self, queries: Tensor, residual: Tensor, roi: Tensor) -> tuple[Tensor, Tensor]:
        objects = self.norm(residual + self.out(self.dynamic_conv(queries, roi)))
        objects = self.feedforward(objects)
        return objects, self.widen(objects)


class FullDimension(nn.Module):
    """Each task has half the channels, and its object feature is widened to d (Fig. 3c)."""

    def __init__(self, width: int, dynamic_width: int, feedforward_width: int, positions: int):
        super().__init__()
        self.class_branch = _FullBranch(width, dynamic_width, feedforward_width, positions)
        self.box_branch = _FullBranch(width, dynamic_width, feedforward_width, positions)

    def forward(self, queries: Float[Tensor, "k d"], roi: Float[Tensor, "k p d"]) -> Interacted:
        """Returns the features of the two branches, and their sum as the next queries."""
        class_roi, box_roi = roi.chunk(2, dim=-1)
        class_features = self.class_branch(queries, class_roi)
        box_features = self.box_branch(queries, box_roi)
        return Interacted(class_features, box_features, class_features + box_features)


class _FullBranch(nn.Module):
    def __init__(self, width: int, dynamic_width: int, feedforward_width: int, positions: int):
        super().__init__()
        half = width // 2
        self.dynamic_conv = DynamicConv(width, half, dynamic_width)
        self.out = OutLayer(positions, half, half)
        self.widen = nn.Linear(half, width)
        self.norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, feedforward_width)

    def forward(self, queries: Tensor, roi: Tensor) -> Tensor:
        return self.feedforward(self.norm(queries + self.widen(self.out(self.dynamic_conv(queries, roi)))))


class ChannelWeighted(nn.Module):
    """DCW (Eq. 4, Fig. 5): the output of one dynamic convolution is weighted by a mask for each task.

    `literal` follows Algorithm 2 exactly: mask, flatten, linear layer. Without it, the module has what the authors'
    release adds: a norm and ReLU after each mask, and a linear layer and norm on the residual query.
    """

    def __init__(self, width: int, dynamic_width: int, feedforward_width: int, positions: int, *, literal: bool):
        super().__init__()
        self.dynamic_conv = DynamicConv(width, width, dynamic_width)
        self.class_branch = _WeightedRoIBranch(width, feedforward_width, positions, literal=literal)
        self.box_branch = _WeightedRoIBranch(width, feedforward_width, positions, literal=literal)

    def forward(self, queries: Float[Tensor, "k d"], roi: Float[Tensor, "k p d"]) -> Interacted:
        """Returns o_c, o_r, and their sum as the next queries."""
        roi = self.dynamic_conv(queries, roi)
        class_features = self.class_branch(queries, roi)
        box_features = self.box_branch(queries, roi)
        return Interacted(class_features, box_features, class_features + box_features)


class _WeightedRoIBranch(nn.Module):
    def __init__(self, width: int, feedforward_width: int, positions: int, *, literal: bool):
        super().__init__()
        self.mask = ChannelMask(width)
        self.mask_norm = nn.Identity() if literal else nn.Sequential(nn.LayerNorm(width), nn.ReLU(inplace=True))
        self.out = OutLayer(positions, width, width)
        self.residual = nn.Identity() if literal else nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        self.norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, feedforward_width)

    def forward(self, queries: Tensor, roi: Tensor) -> Tensor:
        objects = self.out(self.mask_norm(self.mask(queries, roi)))
        return self.feedforward(self.norm(self.residual(queries) + objects))
