"""Weighted sums of rows of a table: what RoIAlign is once it is known which cells a box takes and how much of each.

Shapes: l rows of d channels, k sums of t rows each.
"""

import os
from importlib.util import find_spec
from shutil import which

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from uncrowd.boxes import at_least_fp32

# Triton does not exist for Windows, and builds its launcher with a C compiler.
HAS_KERNEL = find_spec("triton") is not None and any(map(which, (os.environ.get("CC", "cc"), "gcc", "clang")))


def weighted_rows(
    rows: Float[Tensor, "l d"], index: Int64[Tensor, "k t"], weight: Float[Tensor, "k t"]
) -> Float[Tensor, "k d"]:
    """Returns for each k the sum over t of weight * rows[index], in the dtype of the rows; only they get a gradient.

    Sums are made in at least fp32. On a GPU it is a kernel of our own; elsewhere torch's embedding bag, which wants
    rows and weights of one dtype.
    """
    if rows.is_cuda and HAS_KERNEL:
        from uncrowd.models.weighted_rows_triton import weighted_rows_on_gpu

        return weighted_rows_on_gpu(rows, index, weight)
    precise = at_least_fp32(rows)
    return F.embedding_bag(index, precise, mode="sum", per_sample_weights=weight.to(precise.dtype)).to(rows.dtype)
