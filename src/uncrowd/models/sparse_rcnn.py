"""Sparse R-CNN (Fig. 2); the configuration of its stages chooses the paper's two modules."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor, nn

from uncrowd.boxes import at_least_fp32, cxcywh_to_xyxy
from uncrowd.errors import require_at_least, require_at_most
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.class_scores import ScoreKind, class_scores
from uncrowd.models.detector import MOST_LAYERS, Detector
from uncrowd.models.pyramid import Pyramid
from uncrowd.models.stage import DynamicHead, StageConfig
from uncrowd.structures import Decoded, StageOutput


@dataclass(frozen=True, kw_only=True)
class SparseRCNNConfig:
    """Settings of a Sparse R-CNN; `SparseRCNNConfig()` is the paper's COCO model with both of its modules."""

    scores: ClassVar[ScoreKind] = "sigmoid"

    # Number of classes; training sets it from the dataset.
    num_classes: int = 80
    # Number of learnable proposals; an image gets as many detections.
    proposals: int = 100
    # Number of stages that refine the proposals.
    stages: int = 6
    # The backbone below the pyramid.
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    # Settings that all stages share.
    stage: StageConfig = field(default_factory=StageConfig)

    def __post_init__(self) -> None:
        """Raises InputError for a model that could detect nothing."""
        require_at_least(1, num_classes=self.num_classes, proposals=self.proposals, stages=self.stages)
        require_at_most(MOST_LAYERS, stages=self.stages)

    @property
    def modules(self) -> tuple[str, str]:
        """Self attention and interaction: see `DetectorConfig.modules`."""
        return self.stage.attention, self.stage.interaction

    def in_words(self) -> str:
        """The model in a few words: see `DetectorConfig.in_words`."""
        return f"Sparse R-CNN on {self.backbone.name}, {self.stages} stages, {self.proposals} proposals"


class SparseRCNN(Detector):
    """Sparse R-CNN: learned boxes and queries, refined by each stage."""

    multiple = 32  # the stride of the coarsest level

    def __init__(self, config: SparseRCNNConfig):
        super().__init__(config)
        self._config = config
        self.backbone.require_exact_strides()
        self.pyramid = Pyramid(self.backbone.channels, config.stage.width)
        # All proposals start as the whole image; their queries differ.
        self.proposal_boxes_cxcywh_norm = nn.Parameter(torch.tensor([0.5, 0.5, 1.0, 1.0]).repeat(config.proposals, 1))
        self.proposal_queries = nn.Parameter(torch.randn(config.proposals, config.stage.width))
        self.head = DynamicHead(config.stage, config.stages, config.num_classes)

    @property
    def config(self) -> SparseRCNNConfig:
        """The configuration from which the model was built."""
        return self._config

    @property
    def layers(self) -> list[nn.Module]:
        """The stages: see `Detector.layers`."""
        return list(self.head.stages)

    def forward(self, images: Shaped[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"]) -> list[StageOutput]:
        """Returns the output of each stage, with boxes in network pixels: see `Detector.forward`."""
        features = self.pyramid(self.backbone(self.normalise(images, sizes)))
        height, width = sizes.to(at_least_fp32(self.proposal_boxes_cxcywh_norm).dtype).unbind(-1)
        scale = torch.stack([width, height, width, height], dim=-1)
        boxes = cxcywh_to_xyxy(self.proposal_boxes_cxcywh_norm * scale[:, None])
        queries = self.proposal_queries.expand(images.shape[0], -1, -1)
        return self.head(features, boxes, queries)

    def decode(self, outputs: list[StageOutput]) -> Decoded:
        """Returns the N best of the last stage's N x C sigmoid scores, best first, without a threshold and NMS.

        N proposals give N detections, and a box may appear with several labels.
        """
        last = outputs[-1]
        classes = last.logits.shape[-1]
        scores, best = class_scores(last.logits, self.config.scores).flatten(1).topk(last.logits.shape[1], dim=1)
        boxes = last.boxes.gather(1, (best // classes)[..., None].expand(-1, -1, 4))
        return Decoded(boxes=boxes, scores=scores, labels=best % classes)
