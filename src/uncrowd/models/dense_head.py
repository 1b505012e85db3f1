"""A light head that predicts a class and a box at every cell of the pyramid, from which queries are selected.

Dense distinct queries (DDQ, arXiv:2303.12776). Shapes: b images, p points (cells of all levels that are used), width d.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncrowd.boxes import MAX_LOG_SCALE
from uncrowd.errors import require_at_least
from uncrowd.models.stage import PRIOR_PROBABILITY
from uncrowd.ops.precision import PreciseLinear
from uncrowd.ops.roi_sampling import FINEST_LEVEL
from uncrowd.structures import StageOutput

# Sides of the boxes before training, in strides of their level.
FIRST_SIDE = 4


@dataclass(frozen=True, kw_only=True)
class DenseHeadConfig:
    """Settings of the dense head. The width is that of the stages."""

    # Stride of the finest level that has points, in pixels: 4 finds smaller objects and has four times the points of 8.
    finest_stride: Literal[4, 8] = 8
    # Number of layers, each a depthwise 3 x 3 convolution, a linear layer and a norm, before the predictions.
    layers: int = 2
    # For each query, so many points with the best scores compete to become one.
    candidates_per_query: int = 4
    # Most points that compete for all queries together; with more queries than this, as many points as queries.
    candidates: int = 2000
    # Stop the gradient of the stages at the features that become queries, as DDQ does. Otherwise the dense head also
    # learns to make queries.
    detach_queries: bool = True
    # Stop the gradient of the first stage at the boxes that it starts from, as DDQ does.
    detach_boxes: bool = True

    def __post_init__(self) -> None:
        """Raises InputError for a head without candidates or with a negative number of layers."""
        require_at_least(1, candidates_per_query=self.candidates_per_query, candidates=self.candidates)
        require_at_least(0, layers=self.layers)

    def competing(self, number: int) -> int | torch.SymInt:
        """Returns how many points compete for so many queries, where an image has enough."""
        return torch.sym_min(self.candidates_per_query * number, self.candidates)


class Points(NamedTuple):
    """What the dense head predicts at all points; `queries` are the features from which it does so.

    main: learns from one point an object, and chooses the queries. auxiliary: learns from several points an object, so
    that the features they share learn more in a step; None except in training.
    """

    main: StageOutput
    auxiliary: StageOutput | None


class DenseHead(nn.Module):
    """Predicts a class and a box at every point.

    One tower serves classes and boxes, and both branches: towers of full convolutions would cost more than the stages
    they replace. Its norm is over the channels of each cell, so that statistics depend neither on the size of the image
    nor on the density of objects.
    """

    def __init__(self, config: DenseHeadConfig, width: int, num_classes: int):
        super().__init__()
        self.config = config
        self.first_level = int(math.log2(config.finest_stride)) - FINEST_LEVEL
        self.tower = nn.Sequential(*(_TowerLayer(width) for _ in range(config.layers)))
        self.main = _Branch(width, num_classes)
        self.auxiliary = _Branch(width, num_classes)

    def forward(self, pyramid: list[Float[Tensor, "b d _ _"]]) -> Points:
        """Returns the predictions at all points, level by level and row by row. pyramid: P2, P3, ... in order."""
        maps = pyramid[self.first_level :]
        features = torch.cat([self.tower(level).flatten(2).transpose(1, 2) for level in maps], dim=1)
        strides = [2 ** (FINEST_LEVEL + self.first_level + i) for i in range(len(maps))]
        cells = [_cells(level, stride) for level, stride in zip(maps, strides, strict=True)]
        centres, stride = (torch.cat(parts) for parts in zip(*cells, strict=True))
        auxiliary = self.auxiliary(features, centres, stride) if self.training else None
        return Points(self.main(features, centres, stride), auxiliary)


class _Branch(nn.Module):
    """Class logits, and a box given by the distances of its sides from the centre of the cell (FCOS)."""

    def __init__(self, width: int, num_classes: int):
        super().__init__()
        self.class_logits = PreciseLinear(width, num_classes)
        self.sides = PreciseLinear(width, 4)
        for layer in (self.class_logits, self.sides):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.class_logits.bias, -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY))

    def forward(
        self, features: Float[Tensor, "b p d"], centres: Float[Tensor, "p 2"], stride: Float[Tensor, "p 1"]
    ) -> StageOutput:
        sides = self.sides(features).clamp(max=MAX_LOG_SCALE).exp() * (stride * (FIRST_SIDE / 2))
        centres = centres.to(sides.dtype)
        boxes = torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], dim=-1)
        return StageOutput(logits=self.class_logits(features), boxes=boxes, queries=features)


class _TowerLayer(nn.Module):
    """A depthwise convolution, then at each cell a linear layer, a LayerNorm and a ReLU."""

    def __init__(self, width: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.pointwise = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        x = self.depthwise(x).permute(0, 2, 3, 1)
        return self.norm(self.pointwise(x)).relu().permute(0, 3, 1, 2)


def _cells(level: Float[Tensor, "b d h w"], stride: int) -> tuple[Float[Tensor, "p 2"], Float[Tensor, "p 1"]]:
    """Returns the centre (x, y) of each cell in network pixels, row by row, and its stride."""
    height, width = level.shape[-2:]
    y = (torch.arange(height, device=level.device, dtype=torch.float32) + 0.5) * stride
    x = (torch.arange(width, device=level.device, dtype=torch.float32) + 0.5) * stride
    centres = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], dim=-1).flatten(0, 1)
    return centres, torch.full_like(centres[:, :1], float(stride))
