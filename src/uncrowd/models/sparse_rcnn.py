"""Sparse R-CNN with the paper's two modules as choices of its stages (Fig. 2)."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor, nn

from uncrowd.boxes import at_least_fp32, cxcywh_to_xyxy
from uncrowd.errors import require_at_least
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.detector import Detector
from uncrowd.models.pyramid import Pyramid
from uncrowd.models.stage import DynamicHead, StageConfig
from uncrowd.structures import Decoded, StageOutput


@dataclass(frozen=True, kw_only=True)
class SparseRCNNConfig:
    """Sparse R-CNN, with the paper's two modules or without; `SparseRCNNConfig()` is its COCO model with both."""

    # Classes; training sets it to what the data has.
    num_classes: int = 80
    # Learnable proposals, which is also how many detections come out.
    proposals: int = 100
    # Stages that refine them, one after another.
    stages: int = 6
    # The trunk that the pyramid stands on.
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    # What every stage is made of.
    stage: StageConfig = field(default_factory=StageConfig)

    def __post_init__(self) -> None:
        """Raises InputError for a model that could detect nothing."""
        require_at_least(1, num_classes=self.num_classes, proposals=self.proposals, stages=self.stages)


class SparseRCNN(Detector):
    """Sparse R-CNN: boxes and queries that every stage refines."""

    multiple = 32  # the coarsest level's stride

    def __init__(self, config: SparseRCNNConfig):
        super().__init__(config)
        self._config = config
        self.backbone.require_exact_strides()
        self.pyramid = Pyramid(self.backbone.channels, config.stage.width)
        # All proposals start as the whole image, and differ by their queries.
        self.proposal_boxes_cxcywh_norm = nn.Parameter(torch.tensor([0.5, 0.5, 1.0, 1.0]).repeat(config.proposals, 1))
        self.proposal_queries = nn.Parameter(torch.randn(config.proposals, config.stage.width))
        self.head = DynamicHead(config.stage, config.stages, config.num_classes)

    @property
    def config(self) -> SparseRCNNConfig:
        """What it was built from."""
        return self._config

    @property
    def layers(self) -> list[nn.Module]:
        """The stages: see `Detector.layers`."""
        return list(self.head.stages)

    def forward(self, images: Shaped[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"]) -> list[StageOutput]:
        """Returns one StageOutput a stage, in network pixels: see `Detector.forward`."""
        features = self.pyramid(self.backbone(self.normalise(images, sizes)))
        height, width = sizes.to(at_least_fp32(self.proposal_boxes_cxcywh_norm).dtype).unbind(-1)
        scale = torch.stack([width, height, width, height], dim=-1)
        boxes = cxcywh_to_xyxy(self.proposal_boxes_cxcywh_norm * scale[:, None])
        queries = self.proposal_queries.expand(images.shape[0], -1, -1)
        return self.head(features, boxes, queries)

    def decode(self, outputs: list[StageOutput]) -> Decoded:
        """Returns the N best of the last stage's N x C sigmoid scores, best first: no threshold, no NMS.

        So a box may come back with several labels, and N proposals report N detections.
        """
        last = outputs[-1]
        classes = last.logits.shape[-1]
        scores, best = at_least_fp32(last.logits).sigmoid().flatten(1).topk(last.logits.shape[1], dim=1)
        boxes = last.boxes.gather(1, (best // classes)[..., None].expand(-1, -1, 4))
        return Decoded(boxes=boxes, scores=scores, labels=best % classes)
