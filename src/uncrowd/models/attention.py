"""Multi-head attention (Eq. 1 and 2): what all kinds of it here have in common.

Shapes: b images, n that ask, k that are asked, width d, of which each head has d / heads.
"""

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class MultiHeadAttention(nn.Module):
    """The projections of attention and the weighted sum between them; a kind of attention adds its own `forward`.

    dropout: of the attention weights, in training.
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
        mask: Float[Tensor, "b 1 #n k"] | Bool[Tensor, "b 1 #n k"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Returns the values, weighted by softmax(q k / sqrt(d / heads)), all heads side by side.

        mask: added to what the softmax is taken of, or False for what is not to be looked at.
        """
        dropout = self.dropout if self.training else 0.0
        gathered = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return gathered.transpose(1, 2).flatten(2)


class ImageAttention(MultiHeadAttention):
    """Attention to the cells of a feature map, padding left out: DETR's encoder, and its cross attention."""

    def forward(
        self,
        query: Float[Tensor, "b n d"],
        key: Float[Tensor, "b k d"],
        value: Float[Tensor, "b k d"],
        inside: Bool[Tensor, "b k"],
    ) -> Float[Tensor, "b n d"]:
        """Returns what each query gathered from the cells inside its image, without residual."""
        return self.out(self.gather(*self.project(query, key, value), mask=inside[:, None, None]))
