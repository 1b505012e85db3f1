"""The memory layout changes neither outputs nor gradients, and is chosen by processor."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from tests.models.trained_norms import DETR, SPARSE_RCNN, as_if_trained
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.build import AnyDetectorConfig, build_detector
from uncrowd.models.detector import Detector

CHANNELS_LAST, CHANNELS_FIRST = torch.channels_last, torch.contiguous_format
SWIN = replace(SPARSE_RCNN, backbone=BackboneConfig(name="swin_tiny_patch4_window7_224", frozen_stages=0))


@pytest.mark.parametrize("config", [SPARSE_RCNN, DETR, SWIN], ids=["sparse-rcnn", "detr", "swin"])
def test_outputs_and_gradients_do_not_depend_on_the_layout(config: AnyDetectorConfig) -> None:
    torch.manual_seed(0)
    first = build_detector(config).double().eval()  # in training DETR has dropout
    as_if_trained(first)
    last = deepcopy(first).to(memory_format=CHANNELS_LAST)
    first.to(memory_format=CHANNELS_FIRST)
    images, sizes = torch.randint(256, (2, 3, 64, 96), dtype=torch.uint8), torch.tensor([[64, 96], [50, 70]])
    found = []
    for model, layout in ((last, CHANNELS_LAST), (first, CHANNELS_FIRST)):
        if config is not SWIN:  # whose maps are channels last by themselves
            assert all(feature.is_contiguous(memory_format=layout) for feature in maps(model, images, sizes))
        outputs = [tensor for output in model(images, sizes) for tensor in output]
        torch.stack([tensor.square().mean() for tensor in outputs]).sum().backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert any(gradient.any() for gradient in gradients if gradient.dim() == 4)
        found.append([*outputs, *gradients])
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected)


@torch.no_grad()
def maps(model: Detector, images: torch.Tensor, sizes: torch.Tensor) -> list[torch.Tensor]:
    return model.backbone(model.normalise(images, sizes))


@pytest.mark.parametrize(
    ("device", "capability", "layout"),
    [("cpu", "AVX2", CHANNELS_FIRST), ("cpu", "AVX512", CHANNELS_LAST), ("meta", "AVX2", CHANNELS_LAST)],
)
def test_the_layout_is_chosen_by_processor(
    device: str, capability: str, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meta device stands for a GPU."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    model = build_detector(SPARSE_RCNN, torch.device(device))
    kernels = [parameter for parameter in model.parameters() if parameter.dim() == 4 and parameter.shape[-1] > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=layout) for kernel in kernels)
    assert model.mean.device.type == device
