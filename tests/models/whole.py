"""What the tests of whole detectors share: images, their sizes, noise on weights, and the comparison of outputs."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from uncrowd.structures import StageOutput

Model = TypeVar("Model", bound=nn.Module)


def with_noise(model: Model) -> Model:
    """The model with noise on its weights: initial ones hide errors, because timm starts the last norms at zero."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model.eval()


def random_images(count: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def sizes_of(*sizes: tuple[int, int]) -> Tensor:
    return torch.tensor(sizes)


def assert_same(actual: list[StageOutput], expected: list[StageOutput], tolerance: float) -> None:
    for ours, theirs in zip(actual, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * b.abs().max().item())
