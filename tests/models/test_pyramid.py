"""The feature pyramid has one width and the strides of its inputs, and starts as in Detectron2."""

import math

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from uncrowd.models.pyramid import Pyramid


def test_all_levels_have_one_width_and_keep_their_size() -> None:
    maps = Pyramid([4, 8, 16, 32], width=6)([torch.randn(2, 4 * 2**i, 16 // 2**i, 24 // 2**i) for i in range(4)])
    assert [tuple(m.shape) for m in maps] == [(2, 6, 16, 24), (2, 6, 8, 12), (2, 6, 4, 6), (2, 6, 2, 3)]


def test_it_is_lateral_plus_upsampled_then_smoothed() -> None:
    torch.manual_seed(0)
    pyramid = Pyramid([4, 8], width=6)
    fine, coarse = torch.randn(1, 4, 8, 8), torch.randn(1, 8, 4, 4)
    (lateral2, lateral3), (out2, out3) = pyramid.fpn.inner_blocks, pyramid.fpn.layer_blocks
    top = lateral3(coarse)
    expected = [out2(lateral2(fine) + F.interpolate(top, scale_factor=2, mode="nearest")), out3(top)]
    for actual, wanted in zip(pyramid([fine, coarse]), expected, strict=True):
        torch.testing.assert_close(actual, wanted)


def test_convolutions_have_biases_that_start_at_zero_and_no_norm() -> None:
    pyramid = Pyramid([64, 128], width=32)
    convolutions = [m for m in pyramid.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 4
    for convolution in convolutions:
        assert convolution.bias is not None
        assert not convolution.bias.any()
        fan_in = convolution.weight[0].numel()
        bound = math.sqrt(3 / fan_in)  # Caffe2's Xavier: kaiming_uniform with a = 1
        assert 0.9 * bound < convolution.weight.abs().max() <= bound
    assert len(list(pyramid.parameters())) == 2 * len(convolutions)  # and there are no other parameters
