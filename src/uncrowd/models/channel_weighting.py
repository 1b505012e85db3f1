"""Dynamic channel weighting (DCW): Equation 4, Figure 5, Algorithm 2."""

from jaxtyping import Float
from torch import Tensor, nn


class ChannelMask(nn.Module):
    """Computes r' = r * sigmoid(g(q)) with one of the two masks (class or box) of Eq. 4.

    g is a bottleneck of two linear layers (d -> d / 8 -> d) without an activation between them.
    """

    def __init__(self, width: int):
        super().__init__()
        self.reduce = nn.Linear(width, width // 8)
        self.expand = nn.Linear(width // 8, width)

    def mask(self, queries: Float[Tensor, "*k d"]) -> Float[Tensor, "*k d"]:
        """Returns the weight of each channel, between 0 and 1."""
        return self.expand(self.reduce(queries)).sigmoid()

    def forward(self, queries: Float[Tensor, "k d"], roi: Float[Tensor, "k p d"]) -> Float[Tensor, "k p d"]:
        """Returns the RoI features times the weight of their channel, which is the same at all p positions."""
        return roi * self.mask(queries)[:, None]
