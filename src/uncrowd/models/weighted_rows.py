"""Weighted sums of rows of a table: what RoIAlign is once it is known which cells a box takes and how much of each.

Shapes: l rows of d channels, k sums of t rows each.
"""

from importlib.util import find_spec

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from uncrowd.boxes import at_least_fp32


def weighted_rows(
    rows: Float[Tensor, "l d"], index: Int64[Tensor, "k t"], weight: Float[Tensor, "k t"]
) -> Float[Tensor, "k d"]:
    """Returns for each k the sum over t of weight * rows[index], summed in at least fp32; only rows get a gradient.

    On a GPU it is a kernel of our own; elsewhere torch's embedding bag, which wants rows and weights of one dtype.
    """
    if rows.is_cuda and find_spec("triton") is not None:  # Windows has none
        from uncrowd.models.weighted_rows_triton import weighted_rows_on_gpu

        return weighted_rows_on_gpu(rows, index, weight)
    rows = at_least_fp32(rows)
    return F.embedding_bag(index, rows, mode="sum", per_sample_weights=weight.to(rows.dtype))
