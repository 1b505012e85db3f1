"""Dynamic channel weighting: Equation 4, Figure 5, Algorithm 2."""

from jaxtyping import Float
from torch import Tensor, nn


class ChannelMask(nn.Module):
    """r' = r * sigmoid(g(q)): one of the two masks (class or box) of Eq. 4.

    g is a bottleneck of two linear layers (d -> d / 8 -> d) with nothing between them.
    """

    def __init__(self, width: int):
        super().__init__()
        self.reduce = nn.Linear(width, width // 8)
        self.expand = nn.Linear(width // 8, width)

    def mask(self, queries: Float[Tensor, "*k d"]) -> Float[Tensor, "*k d"]:
        """Returns the weight in (0, 1) of each channel."""
        return self.expand(self.reduce(queries)).sigmoid()

    def forward(self, queries: Float[Tensor, "k d"], roi: Float[Tensor, "k p d"]) -> Float[Tensor, "k p d"]:
        """Returns the RoI features with each channel weighted, alike at all p positions."""
        return roi * self.mask(queries)[:, None]
