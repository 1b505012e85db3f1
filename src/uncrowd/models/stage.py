"""One stage of the cascade (Fig. 2), and the head that runs the stages one after another."""

import math
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from uncrowd.boxes import apply_deltas
from uncrowd.errors import InputError, require_at_least
from uncrowd.models.interaction import InteractionKind, build_interaction
from uncrowd.models.self_attention import AttentionKind, LearnedIoUAttention, build_self_attention
from uncrowd.ops.precision import PreciseLinear
from uncrowd.ops.roi_align import as_rows, roi_align
from uncrowd.structures import StageOutput

PRIOR_PROBABILITY = 0.01  # initial score of every class (Sec. 4.1 of the focal loss paper)


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """Settings that all stages of a head share; `StageConfig()` is the paper's full method."""

    # Self attention among the queries (Eq. 1-3): iou is the paper's IoU-ESA, content is that of Sparse R-CNN, and
    # iou_learned starts as IoU-ESA and learns more about overlap, relative geometry and scores.
    attention: AttentionKind = "iou"
    # Interaction of queries and RoI features (Fig. 3 and 5): dcw is the paper's, entangled is that of Sparse R-CNN.
    interaction: InteractionKind = "dcw"
    # Channels of the queries and of the pyramid (d).
    width: int = 256
    # Number of attention heads.
    heads: int = 8
    # Channels between the two dynamic convolutions.
    dynamic_width: int = 64
    # Hidden channels of the feed-forward layers.
    feedforward_width: int = 2048
    # Number of layers before the class logits.
    class_tower: int = 1
    # Number of layers before the box deltas.
    box_tower: int = 3
    # Let each stage begin training by keeping the boxes that it gets: the last layer before the box deltas starts at 0,
    # and not at random as in the paper's release.
    zero_deltas: bool = False
    # Side of a pooled RoI, in cells.
    pooled_size: int = 7
    # Weights of the stages: own gives each stage its own, as in the paper; shared gives all stages after the first one
    # set, which is applied again and again (RecursiveDet).
    weights: Literal["own", "shared"] = "own"

    def __post_init__(self) -> None:
        """Raises InputError for sizes that no stage can have."""
        require_at_least(1, width=self.width, heads=self.heads, dynamic_width=self.dynamic_width)
        require_at_least(1, feedforward_width=self.feedforward_width, pooled_size=self.pooled_size)
        require_at_least(0, class_tower=self.class_tower, box_tower=self.box_tower)
        if self.width % self.heads or self.width % 8:
            raise InputError(f"width is {self.width}; give a multiple of 8 and of heads, which is {self.heads}.")


class Stage(nn.Module):
    """Applies self attention among the queries and interaction with their RoI features, then predicts class and box."""

    def __init__(self, config: StageConfig, num_classes: int):
        super().__init__()
        width = config.width
        self.attention = build_self_attention(config.attention, width, config.heads)
        self.attention_norm = nn.LayerNorm(width) if self.attention is not None else None
        self.interaction = build_interaction(
            config.interaction, width, config.dynamic_width, config.feedforward_width, config.pooled_size**2
        )
        self.class_tower = _tower(width, config.class_tower)
        self.box_tower = _tower(width, config.box_tower)
        self.class_logits = PreciseLinear(width, num_classes)
        self.box_deltas = PreciseLinear(width, 4)
        self._initialise(zero_deltas=config.zero_deltas)

    def _initialise(self, *, zero_deltas: bool) -> None:
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        if zero_deltas:
            nn.init.zeros_(self.box_deltas.weight)
            nn.init.zeros_(self.box_deltas.bias)
        nn.init.constant_(self.class_logits.bias, -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY))
        if isinstance(self.attention, LearnedIoUAttention):
            self.attention.start_as_equation_3()

    def forward(
        self,
        boxes: Float[Tensor, "b n 4"],
        queries: Float[Tensor, "b n d"],
        roi: Float[Tensor, "b*n p d"],
        scores: Float[Tensor, "b n"] | None = None,
    ) -> StageOutput:
        """Returns refined boxes, class logits and the next queries.

        boxes: from the previous stage, in network pixels. roi: the features pooled from them, p positions row by row.
        scores: the highest class logit of each query at the previous stage; None if nothing has scored them.
        """
        if self.attention is not None and self.attention_norm is not None:
            queries = self.attention_norm(queries + self.attention(queries, boxes, scores))
        interacted = self.interaction(queries.flatten(0, 1), roi)
        logits = self.class_logits(self.class_tower(interacted.class_features))
        deltas = self.box_deltas(self.box_tower(interacted.box_features))
        per_image = (boxes.shape[0], -1)
        return StageOutput(
            logits=logits.unflatten(0, per_image),
            boxes=apply_deltas(deltas.unflatten(0, per_image), boxes),
            queries=interacted.queries.unflatten(0, per_image),
        )


class DynamicHead(nn.Module):
    """Runs the stages. Each gets the queries, detached boxes and detached scores of the previous one.

    stages: how many are run. With shared weights (arXiv:2307.13619) only two are kept, and the second is run for all
    stages after the first. The first keeps its own: it alone refines boxes and queries that no stage has seen.
    """

    def __init__(self, config: StageConfig, stages: int, num_classes: int):
        super().__init__()
        self.pooled_size = config.pooled_size
        self.repetitions = stages
        kept = stages if config.weights == "own" else min(stages, 2)
        self.stages = nn.ModuleList(Stage(config, num_classes) for _ in range(kept))

    def forward(
        self,
        features: list[Float[Tensor, "b d _ _"]],
        boxes: Float[Tensor, "sets n 4"],
        queries: Float[Tensor, "sets n d"],
        scores: Float[Tensor, "sets n"] | None = None,
    ) -> list[StageOutput]:
        """Returns the outputs of all stages in order.

        features: P2 to P5. boxes: in network pixels. scores: the highest class logit of each query, where something
        has scored them before the first stage. An image may have several sets of queries, one after another (groups,
        arXiv:2207.13085): only queries of one set attend to each other, and the outputs have as many sets.
        """
        pyramid, outputs = as_rows(features), []
        images = features[0].shape[0]
        for number in range(self.repetitions):
            stage = self.stages[min(number, len(self.stages) - 1)]
            roi = roi_align(pyramid, boxes.reshape(images, -1, 4), self.pooled_size)
            outputs.append(stage(boxes, queries, roi, scores))
            logits, boxes, queries = outputs[-1]
            boxes, scores = boxes.detach(), logits.detach().amax(dim=-1)
        return outputs


def _tower(width: int, layers: int) -> nn.Sequential:
    blocks = [(nn.Linear(width, width, bias=False), nn.LayerNorm(width), nn.ReLU(inplace=True)) for _ in range(layers)]
    return nn.Sequential(*(layer for block in blocks for layer in block))
