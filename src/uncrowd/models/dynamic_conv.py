"""Dynamic convolution (Fig. 2): each query generates the kernels of two 1x1 convolutions for its RoI features."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class DynamicConv(nn.Module):
    """Maps `channels` to `dynamic_width` and back to `channels`, with kernels projected from the query.

    In Sec. 3.1 of the paper (Sparse R-CNN), Params1 and Params2 are the two halves of one linear projection.
    """

    def __init__(self, query_width: int, channels: int, dynamic_width: int):
        super().__init__()
        self.kernel_shape = (channels, dynamic_width)
        # One layer, as in published checkpoints; `_kernels` applies each half on its own.
        self.kernels = nn.Linear(query_width, 2 * channels * dynamic_width)
        self.norm1 = nn.LayerNorm(dynamic_width)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, queries: Float[Tensor, "k d"], roi: Float[Tensor, "k p c"]) -> Float[Tensor, "k p c"]:
        """Returns RoI features (k boxes, p positions, c channels) after two convolutions, each with norm and ReLU."""
        # The second kernels are made after the first are freed: both together would take most of a stage's memory.
        roi = F.relu(self.norm1(torch.bmm(roi, self.reducing(queries))), inplace=True)
        return F.relu(self.norm2(torch.bmm(roi, self.expanding(queries))), inplace=True)

    def reducing(self, queries: Float[Tensor, "k d"]) -> Float[Tensor, "k c h"]:
        """Returns the kernels of the first convolution (Params1), from c channels to h = `dynamic_width`."""
        return self._kernels(queries, 0).unflatten(-1, self.kernel_shape)

    def expanding(self, queries: Float[Tensor, "k d"]) -> Float[Tensor, "k h c"]:
        """Returns the kernels of the second convolution (Params2), from h back to c channels."""
        return self._kernels(queries, 1).unflatten(-1, self.kernel_shape[::-1])

    def _kernels(self, queries: Tensor, half: int) -> Tensor:
        return F.linear(queries, self.kernels.weight.chunk(2)[half], self.kernels.bias.chunk(2)[half])
