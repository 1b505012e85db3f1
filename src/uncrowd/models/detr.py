"""DETR (arXiv:2005.12872), and DETR with the paper's two modules in its decoder (Appendix C, Table 10)."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from uncrowd.boxes import at_least_fp32, cxcywh_to_xyxy
from uncrowd.errors import InputError, require_at_least, require_at_most
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.class_scores import ScoreKind
from uncrowd.models.decode import each_query_once
from uncrowd.models.detector import MOST_LAYERS, Detector, inside_image
from uncrowd.models.transformer import (
    DecoderAttentionKind,
    DecoderInteractionKind,
    DecoderLayer,
    EncoderLayer,
    Memory,
    sine_positions,
)
from uncrowd.ops.precision import PreciseLinear
from uncrowd.structures import Decoded, StageOutput


@dataclass(frozen=True, kw_only=True)
class DETRConfig:
    """Settings of a DETR: by default the original; attention 'iou' and interaction 'dcw' are the paper's modules."""

    scores: ClassVar[ScoreKind] = "softmax"

    # Number of classes; training sets it from the dataset.
    num_classes: int = 80
    # Number of learnable object queries; an image gets as many detections.
    proposals: int = 100
    # The backbone, of which only the coarsest map is used.
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    # Self attention among the queries: iou is IoU-ESA (Eq. 3) with the boxes of the layer before, content is DETR's.
    attention: DecoderAttentionKind = "content"
    # Features for class and box: dcw gives each its own by dynamic channel weighting (Eq. 4), entangled is DETR's.
    interaction: DecoderInteractionKind = "entangled"
    # Channels of the queries and of the encoded image (d).
    width: int = 256
    # Number of attention heads.
    heads: int = 8
    # Number of encoder layers, in which the cells of an image attend to each other.
    encoder_layers: int = 6
    # Number of decoder layers, which refine the queries; each makes its own predictions.
    decoder_layers: int = 6
    # Hidden channels of the feed-forward layers.
    feedforward_width: int = 2048
    # Dropout in training: on attention weights, within feed-forward layers, and on the outputs of both.
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Raises InputError for a model that could detect nothing, and for sizes that do not fit each other."""
        require_at_least(1, num_classes=self.num_classes, proposals=self.proposals, decoder_layers=self.decoder_layers)
        require_at_least(0, encoder_layers=self.encoder_layers)
        require_at_most(MOST_LAYERS, encoder_layers=self.encoder_layers, decoder_layers=self.decoder_layers)
        require_at_least(1, width=self.width, heads=self.heads, feedforward_width=self.feedforward_width)
        if self.width % self.heads or self.width % 8:
            raise InputError(f"width is {self.width}; give a multiple of 8 and of heads, which is {self.heads}.")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout is {self.dropout}; give a share of at least 0 and below 1.")

    @property
    def modules(self) -> tuple[str, str]:
        """Self attention and interaction: see `DetectorConfig.modules`."""
        return self.attention, self.interaction

    @property
    def any_proposals(self) -> bool:
        """False, because the proposals are learned: see `DetectorConfig.any_proposals`."""
        return False

    def in_words(self) -> str:
        """The model in a few words: see `DetectorConfig.in_words`."""
        return f"DETR on {self.backbone.name}, {self.decoder_layers} decoder layers, {self.proposals} proposals"


class DETR(Detector):
    """A transformer between the coarsest feature map and a set of queries.

    A single image is not padded, unless the backbone cuts it into patches. In a batch, attention leaves padding out,
    but convolutions do not, so features near the padding differ slightly from those of the single image.
    """

    def __init__(self, config: DETRConfig):
        super().__init__(config)
        self._config = config
        self.multiple = self.backbone.patch_side
        # Nothing reads the other maps, so their norms would get no gradient, for which distributed ranks would wait.
        if self.backbone.norms is not None:
            self.backbone.norms[:-1].requires_grad_(False)
        self.projection = nn.Conv2d(self.backbone.channels[-1], config.width, kernel_size=1)
        self.query_positions = nn.Parameter(torch.randn(config.proposals, config.width))
        self.encoder = nn.Sequential(
            *(
                EncoderLayer(config.width, config.heads, config.feedforward_width, config.dropout)
                for _ in range(config.encoder_layers)
            )
        )
        self.decoder = Decoder(config)

    @property
    def config(self) -> DETRConfig:
        """The configuration from which the model was built."""
        return self._config

    @property
    def layers(self) -> list[nn.Module]:
        """The layers of encoder and decoder: see `Detector.layers`."""
        return [*self.encoder, *self.decoder.layers]

    def forward(self, images: Shaped[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"]) -> list[StageOutput]:
        """Returns one StageOutput for each decoder layer, in network pixels: see `Detector.forward`.

        Logits have one column for each class and a last column for no object.
        """
        images = self.normalise(images, sizes)
        features = self.projection(self.backbone(images)[-1])
        inside = inside_image(sizes, *images.shape[-2:])
        # By nearest neighbours, a cell is padding if the pixel at its upper left corner is.
        inside = F.interpolate(inside[:, None].float(), features.shape[-2:])[:, 0].bool()
        positions = sine_positions(inside, self.config.width, at_least_fp32(features).dtype)
        memory = Memory(features.flatten(2).transpose(1, 2), positions.flatten(1, 2), inside.flatten(1))
        return self.decoder(self.encoder(memory), self.query_positions.expand(images.shape[0], -1, -1), sizes)

    def decode(self, outputs: list[StageOutput], *, one_label: bool = False) -> Decoded:
        """Returns each query of the last layer once, with its best class, best first, without a threshold and NMS.

        Scores come from a softmax over the classes and no object. one_label: changes nothing, because
        each box has one label.
        """
        return each_query_once(outputs[-1], self.config.scores)


class Decoder(nn.Module):
    """Runs the decoder layers, which share one norm, one class head and one box head.

    Each layer gets the queries and the detached boxes of the one before. There are none before the first, so it gets
    zeros as queries and the whole image as every box: each IoU is 1, and its attention is plain attention (App. C).
    """

    def __init__(self, config: DETRConfig):
        super().__init__()
        width = config.width
        self.layers = nn.ModuleList(
            DecoderLayer(
                width,
                config.heads,
                config.feedforward_width,
                config.dropout,
                attention=config.attention,
                interaction=config.interaction,
            )
            for _ in range(config.decoder_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.class_logits = PreciseLinear(width, config.num_classes + 1)
        self.boxes_cxcywh_norm = nn.Sequential(
            PreciseLinear(width, width),
            nn.ReLU(),
            PreciseLinear(width, width),
            nn.ReLU(),
            PreciseLinear(width, 4),
            nn.Sigmoid(),
        )

    def forward(
        self, memory: Memory, positions: Float[Tensor, "b n d"], sizes: Int64[Tensor, "b 2"]
    ) -> list[StageOutput]:
        """Returns the predictions of all layers in order; their `queries` go to the next layer, not to the norm.

        positions: of the queries, learned. sizes: (height, width) of each image before padding; predicted boxes are
        shares of it.
        """
        height, width = sizes.to(at_least_fp32(self.norm.weight).dtype).unbind(-1)
        scale = torch.stack([width, height, width, height], dim=-1)[:, None]
        queries = torch.zeros_like(positions)
        corner = torch.zeros_like(width)
        whole = torch.stack([corner, corner, width, height], dim=-1)
        boxes = whole[:, None].expand(-1, positions.shape[1], -1)
        outputs = []
        for layer in self.layers:
            features = layer(queries, positions, boxes, memory)
            logits = self.class_logits(self.norm(features.class_features))
            predicted = cxcywh_to_xyxy(self.boxes_cxcywh_norm(self.norm(features.box_features)) * scale)
            outputs.append(StageOutput(logits=logits, boxes=predicted, queries=features.queries))
            boxes, queries = predicted.detach(), features.queries
        return outputs
