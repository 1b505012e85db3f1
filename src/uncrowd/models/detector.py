"""What all detectors share: raw pixels go in, predictions of each stage come out, and those of the last are ranked."""

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from uncrowd.models.backbone import Backbone, BackboneConfig
from uncrowd.models.class_scores import ScoreKind
from uncrowd.structures import Decoded, StageOutput

# More stages or layers than this are a slip or a damaged file, and building them could take hours.
MOST_LAYERS = 100


@runtime_checkable
class DetectorConfig(Protocol):
    """What the configuration of any detector says about it, so that no other code depends on which detector it is.

    scores: how class logits become scores; the class loss has to fit.
    """

    scores: ClassVar[ScoreKind]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        ...

    @property
    def proposals(self) -> int:
        """Number of proposals; an image gets as many detections."""
        ...

    @property
    def any_proposals(self) -> bool:
        """Whether the number of proposals may be another one at inference than in training."""
        ...

    @property
    def backbone(self) -> BackboneConfig:
        """The backbone."""
        ...

    @property
    def modules(self) -> tuple[str, str]:
        """The two choices that the paper studies: self attention, and interaction (features for class and box)."""
        ...

    def in_words(self) -> str:
        """The model in a few words, such as "Sparse R-CNN on resnet50, 6 stages, 100 proposals"."""
        ...


class Detector(nn.Module, ABC):
    """`forward(images, sizes)` returns the predictions of every stage; `decode` ranks those of the last stage.

    `decode` is the same in training and in evaluation; each detector says what `forward` adds in training. Nothing is
    resized, clipped, thresholded or suppressed here.
    multiple: `forward` pads the sides of images to multiples of it. At inference, only images of the same padded size
    share a batch, so that results do not depend on the batch.
    """

    multiple: int
    mean: Tensor
    std: Tensor

    def __init__(self, config: DetectorConfig):
        super().__init__()
        self.backbone = Backbone(config.backbone)
        self.register_buffer("mean", torch.tensor(config.backbone.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.backbone.std).view(3, 1, 1), persistent=False)

    @property
    @abstractmethod
    def config(self) -> DetectorConfig:
        """The frozen dataclass from which the detector was built."""

    @property
    @abstractmethod
    def layers(self) -> list[nn.Module]:
        """The modules that features or queries pass one after another: stages, or layers of a transformer."""

    @abstractmethod
    def forward(self, images: Shaped[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"]) -> list[StageOutput]:
        """Returns one StageOutput for each stage, in network pixels.

        images: RGB in 0-255, uint8 or float, of any size. sizes: (height, width) of each before padding.
        """

    @abstractmethod
    def decode(self, outputs: list[StageOutput], *, one_label: bool = False) -> Decoded:
        """Returns the last stage's predictions as detections, best first.

        one_label: each query gives only its best class, so that no box is counted under two classes. By default a
        detector decodes as its paper does.
        """

    @torch.inference_mode()
    def detect(
        self, images: Shaped[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"], *, one_label: bool = False
    ) -> Decoded:
        """Returns `decode` of `forward`. The model should be in evaluation mode, because DETR has dropout."""
        return self.decode(self(images, sizes), one_label=one_label)

    def normalise(self, images: Shaped[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"]) -> Float[Tensor, "b 3 H W"]:
        """Pads images to the multiple and standardises them; the padding is then 0, whatever it was before."""
        images = self.padded(images.to(self.mean.dtype))
        inside = inside_image(sizes, *images.shape[-2:])
        return ((images - self.mean) / self.std).where(inside[:, None], 0)

    def padded(self, images: Shaped[Tensor, "b 3 h w"]) -> Shaped[Tensor, "b 3 H W"]:
        """Pads images with 0, at the right and the bottom, to the next multiple; `forward` does this itself."""
        # Sides are symbols to torch.export, which can divide them further if they are rounded up in this form.
        height, width = ((side + self.multiple - 1) // self.multiple * self.multiple for side in images.shape[-2:])
        return nn.functional.pad(images, (0, width - images.shape[-1], 0, height - images.shape[-2]))


def inside_image(sizes: Int64[Tensor, "b 2"], height: int, width: int) -> Shaped[Tensor, "b {height} {width}"]:
    """Returns True for the pixels of each image and False for its padding. sizes: (height, width) before padding."""
    rows = torch.arange(height, device=sizes.device) < sizes[:, :1]
    columns = torch.arange(width, device=sizes.device) < sizes[:, 1:]
    return rows[:, :, None] & columns[:, None, :]
