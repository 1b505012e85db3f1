"""Multi-head attention (Eq. 1 and 2): what all kinds of attention share that compare queries with keys.

Shapes: b images, n queries, k keys and values, width d, of which each head has d / heads.
"""

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class MultiHeadAttention(nn.Module):
    """The input and output projections and the weighted sum of values; a subclass adds its own `forward`.

    dropout: probability with which attention weights are dropped in training.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0):
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def project(
        self, query: Float[Tensor, "b n d"], key: Float[Tensor, "b k d"], value: Float[Tensor, "b k d"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns queries, keys and values of all heads: (b, heads, n or k, d / heads)."""
        if query is key and key is value:  # one product instead of three
            projected = self.qkv(query).chunk(3, dim=-1)
        else:
            weights, biases = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)
            projected = [F.linear(*of_one) for of_one in zip((query, key, value), weights, biases, strict=True)]
        query, key, value = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in projected)
        return query, key, value

    def gather(
        self,
        query: Float[Tensor, "b heads n _"],
        key: Float[Tensor, "b heads k _"],
        value: Float[Tensor, "b heads k _"],
        mask: Float[Tensor, "b _ #n k"] | Bool[Tensor, "b 1 #n k"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Returns the sum of the values weighted by softmax(q k / sqrt(d / heads)), with all heads concatenated.

        mask: numbers are added to the argument of the softmax; where a Boolean mask is False, the weight is 0.
        """
        dropout = self.dropout if self.training else 0.0
        gathered = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return gathered.transpose(1, 2).flatten(2)


class ImageAttention(MultiHeadAttention):
    """Attention to the cells of a feature map except its padding, for DETR's encoder and its cross attention."""

    def forward(
        self,
        query: Float[Tensor, "b n d"],
        key: Float[Tensor, "b k d"],
        value: Float[Tensor, "b k d"],
        inside: Bool[Tensor, "b k"],
    ) -> Float[Tensor, "b n d"]:
        """Returns the attention output of each query, without residual. inside: False for the cells of padding."""
        return self.out(self.gather(*self.project(query, key, value), mask=inside[:, None, None]))
