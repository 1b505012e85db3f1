"""Each query generates the kernels that convolve its RoI features."""

import torch

from tests.plain import dynamic_conv as plain
from uncrowd.models.dynamic_conv import DynamicConv


def test_it_equals_the_loop_over_boxes() -> None:
    torch.manual_seed(0)
    module = DynamicConv(query_width=8, channels=6, dynamic_width=3).double()
    queries, roi = torch.randn(5, 8).double(), torch.randn(5, 9, 6).double()
    expected = plain.dynamic_conv(queries, roi, module.kernels, module.norm1, module.norm2)
    torch.testing.assert_close(module(queries, roi), expected)
