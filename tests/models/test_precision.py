"""Under autocast: what is not rounded, and that rounding weights beforehand changes nothing."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.conftest import tiny_experiment
from uncrowd.models.build import AnyDetectorConfig, build_detector
from uncrowd.models.detr import DETRConfig
from uncrowd.models.precision import PreciseLinear, keep_weights_in_bf16

TINY = tiny_experiment().model
DETR = DETRConfig(num_classes=3, proposals=5, width=16, heads=2, encoder_layers=1, decoder_layers=2)


def test_a_precise_layer_is_not_rounded() -> None:
    layer, x = PreciseLinear(4, 3), torch.randn(2, 4)
    expected = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), expected)
        assert layer(x.bfloat16()).dtype == torch.float32
        assert nn.functional.linear(x, layer.weight).dtype == torch.bfloat16, "others are"
    assert layer.double()(x.double()).dtype == torch.float64


@pytest.mark.parametrize("config", [TINY, replace(DETR, backbone=TINY.backbone)], ids=["sparse-rcnn", "detr"])
def test_weights_kept_in_bf16_change_nothing_under_autocast(config: AnyDetectorConfig) -> None:
    torch.manual_seed(0)
    model = build_detector(config).eval()
    images, sizes = torch.randint(256, (2, 3, 64, 96), dtype=torch.uint8), torch.tensor([[64, 96], [50, 70]])
    kept = deepcopy(model)
    keep_weights_in_bf16(kept)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for ours, expected in zip(kept(images, sizes), model(images, sizes), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))
    dtypes = {name: parameter.dtype for name, parameter in kept.named_parameters()}
    assert {dtypes[name] for name in dtypes if "class_logits" in name} == {torch.float32}
    halves = sum(p.numel() for p in kept.parameters() if p.dtype == torch.bfloat16)
    assert halves > 0.9 * sum(p.numel() for p in model.parameters())
