"""Sparse R-CNN (Fig. 2); the configuration chooses the paper's two modules, and where the queries come from."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor, nn

from uncrowd.boxes import at_least_fp32, cxcywh_to_xyxy
from uncrowd.errors import InputError, require_at_least, require_at_most
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.class_scores import ScoreKind
from uncrowd.models.decode import best_pairs, each_query_once, lower_duplicates
from uncrowd.models.dense_head import DenseHead, DenseHeadConfig, Points
from uncrowd.models.detector import MOST_LAYERS, Detector
from uncrowd.models.pyramid import Pyramid
from uncrowd.models.query_selection import QuerySelection
from uncrowd.models.stage import DynamicHead, StageConfig
from uncrowd.structures import Decoded, StageOutput

# Where queries come from: parameters that are the same for every image (the paper), or a dense head on the image. With
# "learned_beside_dense" they are parameters, and a dense head learns beside them in training only.
QueryKind = Literal["learned", "dense", "learned_beside_dense"]


@dataclass(frozen=True, kw_only=True)
class SparseRCNNConfig:
    """Settings of a Sparse R-CNN; `SparseRCNNConfig()` is the paper's COCO model with both of its modules."""

    scores: ClassVar[ScoreKind] = "sigmoid"

    # Number of classes; training sets it from the dataset.
    num_classes: int = 80
    # Number of proposals; an image gets as many detections. With dense queries it can be changed after training.
    proposals: int = 100
    # Where the queries of the proposals come from: learned is the paper's, dense takes them from the image.
    queries: QueryKind = "learned"
    # Sets of proposals in training, each matched with all objects; after it only one is used (Group DETR). With dense
    # queries, all sets but the first choose among the points with scores that are multiplied by random numbers.
    query_groups: int = 1
    # Lower the score of a detection by the factor 1 - IoU ^ p for each better detection of its class that it overlaps,
    # the best first; p is this number. After short training, duplicates then fall behind; nothing is deleted. None
    # never does so.
    lower_duplicates: float | None = None
    # Settings of the dense head, if queries are not merely learned.
    dense_head: DenseHeadConfig = field(default_factory=DenseHeadConfig)
    # Number of stages that refine the proposals; 0 leaves a dense head alone.
    stages: int = 6
    # The backbone below the pyramid.
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    # Settings that all stages share.
    stage: StageConfig = field(default_factory=StageConfig)

    def __post_init__(self) -> None:
        """Raises InputError for a model that could detect nothing."""
        require_at_least(1, num_classes=self.num_classes, proposals=self.proposals, query_groups=self.query_groups)
        require_at_least(0 if self.queries == "dense" else 1, stages=self.stages)
        require_at_most(MOST_LAYERS, stages=self.stages)
        if self.lower_duplicates is not None:
            require_at_least(1, lower_duplicates=self.lower_duplicates)
        if self.query_groups > 1 and not self.stages:
            raise InputError(f"query_groups is {self.query_groups}; without stages no group learns, so give 1.")

    @property
    def modules(self) -> tuple[str, str]:
        """Self attention and interaction: see `DetectorConfig.modules`."""
        return self.stage.attention, self.stage.interaction

    @property
    def has_dense_head(self) -> bool:
        """Whether the model has a dense head, for its queries or beside learned ones in training."""
        return self.queries != "learned"

    @property
    def any_proposals(self) -> bool:
        """Whether queries come from the image: see `DetectorConfig.any_proposals`."""
        return self.queries == "dense"

    def in_words(self) -> str:
        """The model in a few words: see `DetectorConfig.in_words`."""
        of_image = " from the image" if self.queries == "dense" else ""
        return f"Sparse R-CNN on {self.backbone.name}, {self.stages} stages, {self.proposals} proposals{of_image}"


class SparseRCNN(Detector):
    """Sparse R-CNN: boxes and queries, learned or from the image, are refined by each stage."""

    multiple = 32  # the stride of the coarsest level

    def __init__(self, config: SparseRCNNConfig):
        super().__init__(config)
        self._config = config
        self.backbone.require_exact_strides()
        width = config.stage.width
        self.pyramid = Pyramid(self.backbone.channels, width)
        self.dense_head = None
        if config.has_dense_head:
            self.dense_head = DenseHead(config.dense_head, width, config.num_classes)
        if config.queries == "dense":
            self.selection = QuerySelection(config.dense_head, width)
        else:
            # All proposals start as the whole image; their queries differ.
            whole, number = torch.tensor([0.5, 0.5, 1.0, 1.0]), config.query_groups * config.proposals
            self.proposal_boxes_cxcywh_norm = nn.Parameter(whole.repeat(number, 1))
            self.proposal_queries = nn.Parameter(torch.randn(number, width))
        self.head = DynamicHead(config.stage, config.stages, config.num_classes)
        if not config.stages:
            self._freeze_what_only_stages_use()

    @property
    def config(self) -> SparseRCNNConfig:
        """The configuration from which the model was built."""
        return self._config

    @property
    def layers(self) -> list[nn.Module]:
        """The stages, shared ones once: see `Detector.layers`."""
        return list(self.head.stages)

    def forward(
        self, images: Shaped[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"], proposals: int | None = None
    ) -> list[StageOutput]:
        """Returns the output of each stage, with boxes in network pixels: see `Detector.forward`.

        proposals: number of dense queries. By default it is that of the configuration, and in training a random one
        from half to twice of it, so that self attention learns to do with any number.
        A model with a dense head gives two more outputs in training, before the others: what its auxiliary and its
        main branch predict at all points. Without stages, the one output in evaluation is that of the dense head at
        the points of which it would make queries. With groups of proposals, an image has the outputs of all its groups
        in training, one after another.
        """
        features = self.pyramid(self.backbone(self.normalise(images, sizes)))
        points = self.dense_head(features) if self.dense_head is not None and self._needs_points else None
        if self.training and not self.config.stages:
            outputs = []
        elif self.config.queries == "dense":
            assert points is not None
            outputs = self._from_image(features, points, self._number_of_queries() if proposals is None else proposals)
        else:
            outputs = self._from_learned(features, sizes)
        if points is not None and points.auxiliary is not None:
            return [points.auxiliary, points.main, *outputs]
        return outputs

    @property
    def _needs_points(self) -> bool:
        return self.training or self.config.queries == "dense"

    @property
    def _groups(self) -> int:
        return self.config.query_groups if self.training else 1

    def _freeze_what_only_stages_use(self) -> None:
        """Without stages nothing teaches these layers, and a distributed run waits for a gradient of all that learn."""
        assert self.dense_head is not None
        self.selection.to_query.requires_grad_(False)
        self.pyramid.freeze_below(self.dense_head.first_level)
        if self.backbone.norms is not None:
            self.backbone.norms[: self.dense_head.first_level].requires_grad_(False)

    def _from_learned(self, features: list[Tensor], sizes: Int64[Tensor, "b 2"]) -> list[StageOutput]:
        height, width = sizes.to(at_least_fp32(self.proposal_boxes_cxcywh_norm).dtype).unbind(-1)
        scale = torch.stack([width, height, width, height], dim=-1)
        used = self.config.proposals * self._groups
        boxes = cxcywh_to_xyxy(self.proposal_boxes_cxcywh_norm[:used] * scale[:, None])
        queries = self.proposal_queries[:used].expand(sizes.shape[0], -1, -1)
        boxes, queries = (each.unflatten(1, (-1, self.config.proposals)).flatten(0, 1) for each in (boxes, queries))
        return self.head(features, boxes, queries)

    def _number_of_queries(self) -> int:
        number = self.config.proposals
        if self.training:  # drawn on the host, so that the device need not be waited for
            return int(torch.randint((number + 1) // 2, 2 * number + 1, (), device="cpu"))
        return number

    def _from_image(self, features: list[Tensor], points: Points, number: int) -> list[StageOutput]:
        selected, queries = self.selection(points.main, number, self._groups)
        if self.config.stages:
            return self.head(features, selected.boxes, queries, selected.logits.amax(dim=-1))
        return [selected]

    def decode(self, outputs: list[StageOutput], *, one_label: bool = False) -> Decoded:
        """Returns the N best of the last stage's N x C sigmoid scores, best first, without a threshold and NMS.

        N proposals give N detections, and a box may appear with several labels, unless `one_label`. The paper's models
        lower no duplicates.
        """
        decoded = (each_query_once if one_label else best_pairs)(outputs[-1], self.config.scores)
        power = self.config.lower_duplicates
        return decoded if power is None else lower_duplicates(decoded, power)
