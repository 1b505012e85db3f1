"""The dynamic convolution, one box at a time."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


def dynamic_conv(queries: Tensor, roi: Tensor, kernels: nn.Linear, norm1: nn.LayerNorm, norm2: nn.LayerNorm) -> Tensor:
    """queries: (k, d). roi: (k, p, c). Returns (k, p, c)."""
    channels, dynamic_width = roi.shape[-1], norm1.normalized_shape[0]
    results = []
    for query, positions in zip(queries, roi, strict=True):
        parameters = kernels(query)
        params1 = parameters[: channels * dynamic_width].view(channels, dynamic_width)
        params2 = parameters[channels * dynamic_width :].view(dynamic_width, channels)
        positions = F.relu(norm1(positions @ params1))
        results.append(F.relu(norm2(positions @ params2)))
    return torch.stack(results)
