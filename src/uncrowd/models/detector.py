"""What every detector has in common: raw pixels in, what each stage predicts out, and how that is ranked."""

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from uncrowd.models.backbone import Backbone, BackboneConfig
from uncrowd.models.class_scores import ScoreKind
from uncrowd.structures import Decoded, StageOutput


@runtime_checkable
class DetectorConfig(Protocol):
    """What the configuration of any detector says of it, so that nothing else has to ask which detector it is.

    scores: how class logits become scores; the class loss has to fit it.
    """

    scores: ClassVar[ScoreKind]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        ...

    @property
    def proposals(self) -> int:
        """Number of learnable proposals; an image gets as many detections."""
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
    """`forward(images, sizes)` gives what every stage predicts; `decode` ranks the last stage's predictions.

    Both are the same in training and in evaluation. Nothing is resized, clipped, thresholded or suppressed here.
    multiple: what sides images are padded to by `forward`; only images of the same padded size share a batch where
    results must not depend on it.
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
        """The frozen dataclass it was built from."""

    @property
    @abstractmethod
    def layers(self) -> list[nn.Module]:
        """What features or queries go through one after another: stages, or layers of a transformer."""

    @abstractmethod
    def forward(self, images: Shaped[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"]) -> list[StageOutput]:
        """Returns one StageOutput a stage, in network pixels.

        images: RGB in 0-255, uint8 or float, of any size. sizes: (height, width) of each before padding.
        """

    @abstractmethod
    def decode(self, outputs: list[StageOutput]) -> Decoded:
        """Returns the last stage's predictions as detections, best first."""

    @torch.inference_mode()
    def detect(self, images: Shaped[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"]) -> Decoded:
        """Returns `decode` of `forward`. The model should be in evaluation mode, because DETR has dropout."""
        return self.decode(self(images, sizes))

    def normalise(self, images: Shaped[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"]) -> Float[Tensor, "b 3 H W"]:
        """Pads to the multiple and standardises; the padding is 0 afterwards, whatever it was before."""
        images = self.padded(images.to(self.mean.dtype))
        inside = inside_image(sizes, *images.shape[-2:])
        return ((images - self.mean) / self.std).where(inside[:, None], 0)

    def padded(self, images: Shaped[Tensor, "b 3 h w"]) -> Shaped[Tensor, "b 3 H W"]:
        """Pads with 0, at the right and the bottom, to the next multiple; `forward` does so by itself."""
        # Rounded up in a form that torch.export can go on dividing, where sizes are symbols.
        height, width = ((side + self.multiple - 1) // self.multiple * self.multiple for side in images.shape[-2:])
        return nn.functional.pad(images, (0, width - images.shape[-1], 0, height - images.shape[-2]))


def inside_image(sizes: Int64[Tensor, "b 2"], height: int, width: int) -> Shaped[Tensor, "b {height} {width}"]:
    """True for the pixels of each image, False for its padding. sizes: (height, width) before padding."""
    rows = torch.arange(height, device=sizes.device) < sizes[:, :1]
    columns = torch.arange(width, device=sizes.device) < sizes[:, 1:]
    return rows[:, :, None] & columns[:, None, :]
