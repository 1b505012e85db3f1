"""Pooling from the pyramid equals the plain loop, for boxes of any size, anywhere, in PyTorch and by our kernel.

Without a GPU our kernel runs in Triton's interpreter.
"""

import math
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import roi_align as roi_align_level

from tests.exported import symbolic_shapes
from tests.plain import roi_align as plain
from uncrowd.ops import roi_align as roi_align_module
from uncrowd.ops.roi_align import PyramidRows, as_rows, assign_levels, roi_align

SIZE, CHANNELS = 3, 2
# sides of about 60, 160, 320 and 640 pixels: one for each level
ON_ALL_LEVELS = [[300.0, 200, 370, 260], [10, 20, 165, 190], [600, 5, 900, 350], [5, 10, 640, 660]]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Pool = Callable[[list[Tensor], Tensor], Tensor]
OUTSIDE = [[-80.0, -40, -10, 15], [1000, 100, 1080, 160], [-200, -200, 900, 900], [2000, 2000, 2050, 2050]]


def pyramid(images: int = 1, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """P2 to P5 of images of 704 x 960 pixels."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(images, CHANNELS, 704 // stride, 960 // stride) for stride in (4, 8, 16, 32)]
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(DEVICE, dtype) for s in shapes]


def boxes_of(*boxes: list[float]) -> Tensor:
    return torch.tensor([boxes], dtype=torch.float64, device=DEVICE)


def kernel() -> Any:
    """Returns the module of our kernel, which Triton's interpreter runs where there is no GPU."""
    pytest.importorskip("triton")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", str(int(DEVICE.type == "cpu")))  # read when kernels are defined
        return import_module("uncrowd.ops.roi_align_triton")


def pool_by_kernel(rows: Tensor, levels: Tensor, boxes: Tensor, size: int) -> Tensor:
    gradient = kernel().RowsGradient()
    return kernel().roi_align_on_gpu(gradient.of(rows), levels, boxes, size, gradient)


@pytest.fixture(params=["as dispatched", "kernel"])
def pool(request: pytest.FixtureRequest) -> Pool:
    """Returns pooled boxes in torchvision's layout: (boxes, channels, SIZE, SIZE)."""
    by_kernel = request.param == "kernel"

    def pool(features: list[Tensor], boxes: Tensor) -> Tensor:
        rows = as_rows(features)
        if by_kernel:
            pooled = pool_by_kernel(rows.rows.to(features[0].dtype), rows.levels, boxes, SIZE)
        else:
            pooled = roi_align(rows, boxes, SIZE)
        return pooled.transpose(1, 2).unflatten(2, (SIZE, SIZE))

    return pool


def test_levels_follow_the_size_of_the_box() -> None:
    assert assign_levels(boxes_of(*ON_ALL_LEVELS), levels=4).tolist() == [[0, 1, 2, 3]]
    sides = boxes_of(*[[0.0, 0, side, side] for side in (0, 1, 111.9, 112, 223.9, 224, 447.9, 448, 1e9, math.inf)])
    assert assign_levels(sides, levels=4).tolist() == [[0, 0, 0, 1, 1, 2, 2, 3, 3, 3]]


@given(st.lists(st.integers(1, 1500), min_size=2, max_size=2))
@settings(max_examples=50, deadline=None)
def test_the_level_is_the_plain_rule(sides: list[int]) -> None:
    box = [7.0, 9, 7 + sides[0], 9 + sides[1]]
    assert assign_levels(boxes_of(box), levels=4).item() + 2 == plain.fpn_level(box)


@pytest.mark.parametrize("boxes", [ON_ALL_LEVELS, OUTSIDE], ids=["on all levels", "outside the image"])
def test_pooling_is_the_plain_loop_in_the_order_of_the_boxes(pool: Pool, boxes: list[list[float]]) -> None:
    features = pyramid()
    shuffled = [boxes[i] for i in (2, 0, 3, 1)]
    expected = [plain.pyramid_roi_align([f[0] for f in features], box, SIZE) for box in shuffled]
    torch.testing.assert_close(pool(features, boxes_of(*shuffled)), torch.stack(expected))


def test_a_box_far_outside_pools_zeros(pool: Pool) -> None:
    assert not pool(pyramid(), boxes_of([2000.0, 2000, 2050, 2050])).any()


def test_boxes_are_pooled_from_their_own_image(pool: Pool) -> None:
    features = pyramid(images=2)
    boxes = torch.cat([boxes_of(*ON_ALL_LEVELS[:2]), boxes_of(*ON_ALL_LEVELS[2:])])
    together = pool(features, boxes)
    alone = [pool([f[i : i + 1] for f in features], boxes[i : i + 1]) for i in range(2)]
    assert torch.equal(together, torch.cat(alone))


def test_a_level_may_have_no_box_and_gets_no_gradient(pool: Pool) -> None:
    features = [f.requires_grad_() for f in pyramid()]
    pool(features, boxes_of(ON_ALL_LEVELS[1], ON_ALL_LEVELS[1])).sum().backward()
    assert [bool(f.grad is not None and f.grad.any()) for f in features] == [False, True, False, False]


@pytest.mark.parametrize(
    "box",
    [
        [50.0, 50, 50, 50],  # zero area
        [60.0, 60, 50, 50],  # inverted
        [-math.inf, -math.inf, math.inf, math.inf],
        [0.0, 0, math.inf, 10],
        [math.nan, 0, 10, 10],
        [1e30, 1e30, 2e30, 2e30],
    ],
    ids=str,
)
def test_degenerate_boxes_pool_something_finite(pool: Pool, box: list[float]) -> None:
    pooled = pool(pyramid(), boxes_of(box, ON_ALL_LEVELS[0]))
    assert pooled.isfinite().all()
    assert torch.equal(pooled[1:], pool(pyramid(), boxes_of(ON_ALL_LEVELS[0])))  # the other box is not affected


def test_a_box_without_area_pools_one_point(pool: Pool) -> None:
    features = pyramid()
    expected = plain.bilinear(features[0][0], y=50 / 4 - 0.5, x=50 / 4 - 0.5)
    pooled = pool(features, boxes_of([50.0, 50, 50, 50]))[0]
    torch.testing.assert_close(pooled, expected[:, None, None].expand(-1, SIZE, SIZE))


@pytest.mark.parametrize("level", range(4))
def test_gradient_to_the_features_is_that_of_the_single_level(pool: Pool, level: int) -> None:
    box, weights = ON_ALL_LEVELS[level], torch.randn(1, CHANNELS, SIZE, SIZE, device=DEVICE).double()
    features = [f.requires_grad_() for f in pyramid()]
    (pool(features, boxes_of(box)) * weights).sum().backward()

    alone = pyramid()[level].requires_grad_()
    pooled = roi_align_level(alone, [boxes_of(box)[0]], SIZE, 1 / (4 * 2**level), sampling_ratio=2, aligned=True)
    (pooled * weights).sum().backward()
    assert alone.grad is not None
    torch.testing.assert_close(features[level].grad, alone.grad)


def test_half_precision_features_are_pooled_at_exact_places(pool: Pool) -> None:
    """bf16 rounds 1001 to 1000, so a rounded box would be pooled one pixel off."""
    features, box = pyramid(dtype=torch.bfloat16), torch.tensor([[[901.0, 301, 923, 323]]], device=DEVICE)
    found, exact = pool(features, box), pool([f.float() for f in features], box)
    rounding = 0 if found.dtype == torch.float32 else 2**-7  # one unit in the last place of bf16
    torch.testing.assert_close(found.float(), exact, rtol=rounding, atol=0)


@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)], ids=str)
def test_the_kernel_equals_the_pytorch_operations(dtype: torch.dtype, share: float) -> None:
    """For boxes of all sizes, anywhere, also inverted. In bf16 only the final sums and gradients are rounded."""
    generator = torch.Generator().manual_seed(0)
    corner, side = torch.rand(1, 12, 2, generator=generator) * 1200 - 200, torch.rand(1, 12, 2, generator=generator)
    boxes = torch.cat([corner, corner + torch.exp(side * 6.5) - 10], dim=-1).to(DEVICE)
    rows, levels, _ = as_rows(pyramid(dtype=dtype))
    leaf, twin = rows.to(dtype).requires_grad_(), rows.float().cpu().requires_grad_()
    results: list[tuple[Tensor, Tensor]] = []
    for wanted, pooled in (
        (leaf, pool_by_kernel(leaf, levels, boxes, 2)),
        (twin, roi_align(PyramidRows(twin, levels.cpu()), boxes.cpu(), 2)),
    ):
        weights = torch.arange(pooled.numel(), device=pooled.device).view_as(pooled) / pooled.numel()
        results.append((pooled, torch.autograd.grad((pooled * weights).sum(), wanted)[0]))
    assert results[0][0].dtype == results[0][1].dtype == dtype
    for ours, expected in zip(*results, strict=True):
        assert (ours.cpu().float() - expected).abs().max() <= share * expected.abs().max()


@pytest.mark.parametrize(("dtype", "others"), [(torch.float64, False), (torch.float64, True), (torch.bfloat16, False)])
def test_stages_accumulate_one_gradient_of_the_rows(
    dtype: torch.dtype, others: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stages pool from the same rows, alone or beside another user of the rows; the second step starts from 0."""
    kernel()
    generator = torch.Generator().manual_seed(0)
    corner, side = torch.rand(2, 1, 3, 2, generator=generator) * 700, torch.rand(2, 1, 3, 2, generator=generator)
    boxes = torch.cat([corner, corner + 300 * side], dim=-1).double().to(DEVICE)
    gradients = []
    for on_kernel in (False, True):
        monkeypatch.setattr(roi_align_module, "own_kernels_run", lambda _, on_kernel=on_kernel: on_kernel)
        features = [feature.requires_grad_() for feature in pyramid(dtype=dtype)]
        for step in (1.0, 2.0):
            rows = as_rows(features)
            assert (rows.gradient is not None) == on_kernel
            pooled = [roi_align(rows, of_stage, 1) for of_stage in boxes]
            loss = step * torch.stack([p.double().square().sum() for p in pooled]).sum()
            if others:
                loss = loss + rows.rows.double().sum()
            gradients.append(torch.autograd.grad(loss, features))
    for ours, expected in zip(gradients[2:], gradients[:2], strict=True):
        for tensor, twins in zip(ours, expected, strict=True):
            assert tensor.dtype == dtype
            share = 2e-2 if dtype == torch.bfloat16 else 1e-9
            assert (tensor.double() - twins.double()).abs().max() <= share * twins.double().abs().max()


def test_a_second_derivative_is_refused() -> None:
    rows, levels, _ = as_rows(pyramid())
    pooled = pool_by_kernel(rows.requires_grad_(), levels, boxes_of(ON_ALL_LEVELS[0]), 1)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(pooled.sum(), rows, create_graph=True)


def test_no_boxes_give_an_empty_result(pool: Pool) -> None:
    assert pool(pyramid(), torch.empty(1, 0, 4, device=DEVICE)).shape == (0, CHANNELS, SIZE, SIZE)


def test_the_kernel_is_an_operator_that_can_be_compiled() -> None:
    rows, levels, _ = as_rows(pyramid(dtype=torch.float32))
    given = rows, levels, boxes_of(*ON_ALL_LEVELS[:2]).float(), 1  # few boxes, because opcheck calls it often
    with symbolic_shapes():
        verdicts = torch.library.opcheck(kernel().roi_align_operator, given)
    assert set(verdicts.values()) == {"SUCCESS"}, verdicts


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from uncrowd.ops.roi_align_triton import FAR, SECOND_LEVEL_SIDE, _pool_or_spread

for rows in ("fp32", "bf16", "fp64"):
    for backward in (False, True):
        sums = "fp64" if rows == "fp64" else "fp32"
        types = {"table": sums if backward else rows, "levels": "i64", "boxes": sums, "pooled": rows}
        signature = {name: f"*{kind}" for name, kind in types.items()}
        signature |= {"boxes_a_image": "i32", "rows_a_image": "i32"}
        constants = {"level_count": 4, "second_level_side": SECOND_LEVEL_SIDE, "size": 7, "channels": 256, "block": 256}
        constants |= {"far": FAR, "backward": backward}
        source = ASTSource(_pool_or_spread, signature | dict.fromkeys(constants, "constexpr"), constants)
        built = triton.compile(source, target=GPUTarget("cuda", 90, 32))
        print(rows, backward, len(built.asm["cubin"]) > 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Triton comes with torch on Linux alone")
def test_the_kernel_compiles_for_a_gpu_without_having_one() -> None:
    """Down to machine code, which the interpreter does not produce."""
    pytest.importorskip("triton")
    done = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        word for rows in ("fp32", "bf16", "fp64") for way in ("False", "True") for word in (rows, way, "True")
    ]


def test_the_meta_device_gives_the_shape() -> None:
    rows = as_rows([f.to("meta") for f in pyramid(images=2)])
    assert roi_align(rows, torch.empty(2, 5, 4, device="meta"), SIZE).shape == (10, SIZE**2, CHANNELS)
