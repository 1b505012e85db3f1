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
        self.kernels = nn.Linear(query_width, 2 * channels * dynamic_width)
        self.norm1 = nn.LayerNorm(dynamic_width)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, queries: Float[Tensor, "k d"], roi: Float[Tensor, "k p c"]) -> Float[Tensor, "k p c"]:
        """Returns the RoI features (k boxes, p positions, c channels) after both convolutions, norms and ReLUs."""
        reduce, expand = self.kernels(queries).chunk(2, dim=-1)
        roi = F.relu(self.norm1(torch.bmm(roi, reduce.unflatten(-1, self.kernel_shape))), inplace=True)
        return F.relu(self.norm2(torch.bmm(roi, expand.unflatten(-1, self.kernel_shape[::-1]))), inplace=True)
