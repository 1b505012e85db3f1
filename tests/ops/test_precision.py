"""Autocast does not round a precise layer."""

import torch
from torch import nn

from uncrowd.ops.precision import PreciseLinear


def test_a_precise_layer_is_not_rounded() -> None:
    layer, x = PreciseLinear(4, 3), torch.randn(2, 4)
    expected = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), expected)
        assert layer(x.bfloat16()).dtype == torch.float32
        assert nn.functional.linear(x, layer.weight).dtype == torch.bfloat16, "autocast rounds other layers"
    assert layer.double()(x.double()).dtype == torch.float64
