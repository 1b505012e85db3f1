"""Weighted sums of rows: the fast ways are the slow one; without a GPU our kernels run in Triton's interpreter."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.conftest import symbolic_shapes
from uncrowd.models.weighted_rows import weighted_rows

Sums = Callable[[Tensor, Tensor, Tensor], Tensor]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(params=["as dispatched", "triton"])
def sums(request: pytest.FixtureRequest) -> Sums:
    return weighted_rows if request.param == "as dispatched" else kernel()


def kernel() -> Any:
    """The operator around our kernels, which Triton's interpreter runs where there is no GPU."""
    pytest.importorskip("triton")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", str(int(DEVICE.type == "cpu")))  # heeded when kernels are defined
        return import_module("uncrowd.models.weighted_rows_triton").weighted_rows_on_gpu


def problem(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """12 rows of 5 channels, 7 sums of 4 of them: one takes one row alone, one has weights of 0; one row is unused."""
    torch.manual_seed(0)
    index, weight = torch.randint(11, (7, 4)), torch.rand(7, 4)
    index[0], weight[1] = 3, 0
    return torch.randn(12, 5).to(DEVICE, dtype), index.to(DEVICE), weight.to(DEVICE)


def plain(rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    return torch.stack(
        [
            torch.stack([share * rows[row] for row, share in zip(i, w, strict=True)]).sum(0)
            for i, w in zip(index, weight, strict=True)
        ]
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_plain_sum_and_so_is_its_gradient(sums: Sums, dtype: torch.dtype) -> None:
    rows, index, weight = problem(dtype)
    weight = weight.to(dtype)
    torch.testing.assert_close(sums(rows, index, weight), plain(rows, index, weight))
    gradients = []
    for way in (sums, plain):
        leaf = rows.clone().requires_grad_()
        (way(leaf, index, weight) * torch.arange(35, device=DEVICE).view(7, 5)).sum().backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)
    assert not gradients[0][11].any(), "nobody took it"


def test_half_rows_are_summed_in_fp32(sums: Sums) -> None:
    rows, index, weight = problem(torch.bfloat16)
    leaf = rows.clone().requires_grad_()
    result = sums(leaf, index, weight)
    exact = plain(rows.float(), index, weight)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), exact, rtol=2**-7, atol=0)  # a unit in the last place
    result.float().sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.dtype == torch.bfloat16


def test_there_may_be_nothing_to_sum(sums: Sums) -> None:
    rows, index, weight = problem()
    assert sums(rows, index[:0], weight[:0]).shape == (0, 5)


def test_the_kernel_is_an_operator_that_can_be_compiled() -> None:
    rows, index, weight = problem()
    with symbolic_shapes():
        verdicts = torch.library.opcheck(kernel(), (rows.requires_grad_(), index, weight))
    assert set(verdicts.values()) == {"SUCCESS"}, verdicts
