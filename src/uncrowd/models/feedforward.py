"""The feed-forward part of a transformer layer, with the norm after the residual sum (post-norm)."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between them, a residual connection and a norm."""

    def __init__(self, width: int, hidden_width: int, dropout: float = 0.0):
        super().__init__()
        self.linear1 = nn.Linear(width, hidden_width)
        self.linear2 = nn.Linear(hidden_width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*k d"]) -> Float[Tensor, "*k d"]:
        """Returns norm(x + linear2(ReLU(linear1(x))))."""
        hidden = self.dropout(F.relu(self.linear1(x), inplace=True))
        return self.norm(x + self.dropout(self.linear2(hidden)))
