"""Dynamic convolution: each query generates the two 1x1 convolutions that its own RoI features go through (Fig. 2)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class DynamicConv(nn.Module):
    """`channels` -> `dynamic_width` -> `channels` with kernels from a query of width `query_width`.

    Sparse R-CNN, Sec. 3.1 of the paper: Params1 and Params2 are one linear projection of the query.
    """

    def __init__(self, query_width: int, channels: int, dynamic_width: int):
        super().__init__()
        self.kernel_shape = (channels, dynamic_width)
        # one projection, as in others' checkpoints, of which each half is applied on its own
        self.kernels = nn.Linear(query_width, 2 * channels * dynamic_width)
        self.norm1 = nn.LayerNorm(dynamic_width)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, queries: Float[Tensor, "k d"], roi: Float[Tensor, "k p c"]) -> Float[Tensor, "k p c"]:
        """Returns the RoI features (k boxes, p positions, c channels) after both convolutions, norms and ReLUs."""
        # The second kernels are made after the first are gone: both would be most of a stage's memory.
        roi = F.relu(self.norm1(torch.bmm(roi, self.reducing(queries))), inplace=True)
        return F.relu(self.norm2(torch.bmm(roi, self.expanding(queries))), inplace=True)

    def reducing(self, queries: Float[Tensor, "k d"]) -> Float[Tensor, "k c h"]:
        """Returns the kernels of the first convolution (Params1), from c channels to the h of `dynamic_width`."""
        return self._kernels(queries, 0).unflatten(-1, self.kernel_shape)

    def expanding(self, queries: Float[Tensor, "k d"]) -> Float[Tensor, "k h c"]:
        """Returns the kernels of the second (Params2), back to c channels."""
        return self._kernels(queries, 1).unflatten(-1, self.kernel_shape[::-1])

    def _kernels(self, queries: Tensor, half: int) -> Tensor:
        return F.linear(queries, self.kernels.weight.chunk(2)[half], self.kernels.bias.chunk(2)[half])
