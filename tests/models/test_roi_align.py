"""Pooling from the pyramid is the plain loop, for boxes of any size, anywhere."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import roi_align as roi_align_level

from tests.plain import roi_align as plain
from uncrowd.models.roi_align import as_rows, assign_levels, roi_align

SIZE, CHANNELS = 3, 2
# sides of about 60, 160, 320 and 640 pixels: one for each level
ON_ALL_LEVELS = [[300.0, 200, 370, 260], [10, 20, 165, 190], [600, 5, 900, 350], [5, 10, 640, 660]]
OUTSIDE = [[-80.0, -40, -10, 15], [1000, 100, 1080, 160], [-200, -200, 900, 900], [2000, 2000, 2050, 2050]]


def pyramid(pictures: int = 1, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """P2 to P5 of pictures of 704 x 960."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(pictures, CHANNELS, 704 // stride, 960 // stride) for stride in (4, 8, 16, 32)]
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def boxes_of(*boxes: list[float]) -> Tensor:
    return torch.tensor([boxes], dtype=torch.float64)


def pool(features: list[Tensor], boxes: Tensor) -> Tensor:
    """Pooled boxes as torchvision lays them out: (boxes, channels, SIZE, SIZE)."""
    return roi_align(as_rows(features), boxes, SIZE).transpose(1, 2).unflatten(2, (SIZE, SIZE))


def test_levels_follow_the_size_of_the_box() -> None:
    assert assign_levels(boxes_of(*ON_ALL_LEVELS), levels=4).tolist() == [[0, 1, 2, 3]]
    sides = boxes_of(*[[0.0, 0, side, side] for side in (0, 1, 111.9, 112, 223.9, 224, 447.9, 448, 1e9, math.inf)])
    assert assign_levels(sides, levels=4).tolist() == [[0, 0, 0, 1, 1, 2, 2, 3, 3, 3]]


@given(st.lists(st.integers(1, 1500), min_size=2, max_size=2))
@settings(max_examples=50, deadline=None)
def test_the_level_is_the_plain_rule(sides: list[int]) -> None:
    box = [7.0, 9, 7 + sides[0], 9 + sides[1]]
    assert assign_levels(boxes_of(box), levels=4).item() + 2 == plain.fpn_level(box)


@pytest.mark.parametrize("boxes", [ON_ALL_LEVELS, OUTSIDE], ids=["on all levels", "outside the picture"])
def test_pooling_is_the_plain_loop_in_the_order_of_the_boxes(boxes: list[list[float]]) -> None:
    features = pyramid()
    shuffled = [boxes[i] for i in (2, 0, 3, 1)]
    expected = [plain.pyramid_roi_align([f[0] for f in features], box, SIZE) for box in shuffled]
    torch.testing.assert_close(pool(features, boxes_of(*shuffled)), torch.stack(expected))


def test_far_outside_there_is_nothing() -> None:
    assert not pool(pyramid(), boxes_of([2000.0, 2000, 2050, 2050])).any()


def test_boxes_are_pooled_from_their_own_picture() -> None:
    features = pyramid(pictures=2)
    boxes = torch.cat([boxes_of(*ON_ALL_LEVELS), boxes_of(*ON_ALL_LEVELS[::-1])])
    together = pool(features, boxes)
    alone = [pool([f[i : i + 1] for f in features], boxes[i : i + 1]) for i in range(2)]
    assert torch.equal(together, torch.cat(alone))


def test_a_level_may_have_no_box_and_gets_no_gradient() -> None:
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
def test_degenerate_boxes_pool_something_finite(box: list[float]) -> None:
    pooled = pool(pyramid(), boxes_of(box, ON_ALL_LEVELS[0]))
    assert pooled.isfinite().all()
    assert torch.equal(pooled[1:], pool(pyramid(), boxes_of(ON_ALL_LEVELS[0])))  # the others do not notice


def test_a_box_without_area_pools_one_point() -> None:
    features = pyramid()
    expected = plain.bilinear(features[0][0], y=50 / 4 - 0.5, x=50 / 4 - 0.5)
    pooled = pool(features, boxes_of([50.0, 50, 50, 50]))[0]
    torch.testing.assert_close(pooled, expected[:, None, None].expand(-1, SIZE, SIZE))


@pytest.mark.parametrize("level", range(4))
def test_gradient_to_the_features_is_that_of_the_single_level(level: int) -> None:
    box, weights = ON_ALL_LEVELS[level], torch.randn(1, CHANNELS, SIZE, SIZE).double()
    features = [f.requires_grad_() for f in pyramid()]
    (pool(features, boxes_of(box)) * weights).sum().backward()

    alone = pyramid()[level].requires_grad_()
    pooled = roi_align_level(alone, [boxes_of(box)[0]], SIZE, 1 / (4 * 2**level), sampling_ratio=2, aligned=True)
    (pooled * weights).sum().backward()
    assert alone.grad is not None
    torch.testing.assert_close(features[level].grad, alone.grad)


def test_half_precision_features_are_pooled_at_exact_places() -> None:
    """1001 is 1000 in bf16; a box rounded so would pool its neighbour."""
    features, box = pyramid(dtype=torch.bfloat16), torch.tensor([[[901.0, 301, 923, 323]]])
    assert torch.equal(pool(features, box), pool([f.float() for f in features], box))


def test_on_the_meta_device_there_is_still_a_shape() -> None:
    features = [f.to("meta") for f in pyramid(pictures=2)]
    assert pool(features, torch.empty(2, 5, 4, device="meta")).shape == (10, CHANNELS, SIZE, SIZE)
