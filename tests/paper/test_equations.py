"""Equations 1 to 4, Algorithms 1 and 2 and Figure 3 of the paper, each compared with its literal form."""

import pytest
import torch
from torch import Tensor, nn

from tests.plain import attention as plain
from tests.plain.iou import self_iou as plain_self_iou
from uncrowd.boxes import pairwise_iou
from uncrowd.models.channel_weighting import ChannelMask
from uncrowd.models.interaction import (
    ChannelWeighted,
    Entangled,
    FullDimension,
    HalfDimension,
    InteractionKind,
    build_interaction,
)
from uncrowd.models.self_attention import ContentAttention, IoUEnhancedAttention, IoUOnlyAttention

WIDTH, HEADS, DYNAMIC, HIDDEN, POSITIONS = 16, 4, 4, 32, 9


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def random_queries(images: int = 2, queries: int = 10) -> Tensor:
    return torch.randn(images, queries, WIDTH, dtype=torch.float64)


def crowd(images: int = 2, queries: int = 10) -> Tensor:
    """Returns boxes of which some overlap and some do not."""
    corner = torch.rand(images, queries, 2, dtype=torch.float64) * 100
    return torch.cat([corner, corner + 10 + torch.rand(images, queries, 2, dtype=torch.float64) * 60], dim=-1)


def same_box(images: int = 2, queries: int = 10) -> Tensor:
    return torch.tensor([10.0, 20, 30, 50], dtype=torch.float64).expand(images, queries, 4)


def far_apart(images: int = 2, queries: int = 10) -> Tensor:
    corner = 100 * torch.arange(queries, dtype=torch.float64)[:, None].expand(images, queries, 2)
    return torch.cat([corner, corner + 50], dim=-1)


def test_equations_1_and_2_are_multi_head_attention() -> None:
    ours = ContentAttention(WIDTH, HEADS).double()
    torchs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).double()
    torchs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    queries = random_queries()
    torch.testing.assert_close(ours(queries, crowd()), torchs(queries, queries, queries)[0])


def test_equation_3_is_the_loop_over_algorithm_1() -> None:
    module = IoUEnhancedAttention(WIDTH, HEADS).double()
    queries, boxes = random_queries(), crowd()
    overlap = pairwise_iou(boxes, boxes)
    assert (overlap == 0).any()  # some pairs are disjoint ...
    assert ((overlap > 0) & (overlap < 1)).any()  # ... and some overlap
    expected = [
        plain.iou_enhanced_attention(
            q, torch.tensor(plain_self_iou(b.tolist())).double(), module.qkv, module.out, HEADS
        )
        for q, b in zip(queries, boxes, strict=True)
    ]
    torch.testing.assert_close(module(queries, boxes), torch.stack(expected), rtol=1e-6, atol=1e-9)


def test_iou_of_one_everywhere_is_plain_attention() -> None:
    enhanced, content = IoUEnhancedAttention(WIDTH, HEADS).double(), ContentAttention(WIDTH, HEADS).double()
    content.load_state_dict(enhanced.state_dict())
    queries = random_queries()
    torch.testing.assert_close(enhanced(queries, same_box()), content(queries, same_box()))


def test_a_box_without_overlap_attends_only_to_itself() -> None:
    module = IoUEnhancedAttention(WIDTH, HEADS).double()
    queries = random_queries()
    own_value = module.qkv(queries).chunk(3, dim=-1)[2]
    torch.testing.assert_close(module(queries, far_apart()), module.out(own_value))


def test_iou_msa_weights_values_by_the_row_normalised_iou() -> None:
    module = IoUOnlyAttention(WIDTH).double()
    queries, boxes = random_queries(), crowd()
    expected = [
        plain.iou_only_attention(q, torch.tensor(plain_self_iou(b.tolist())).double(), module.value, module.out)
        for q, b in zip(queries, boxes, strict=True)
    ]
    torch.testing.assert_close(module(queries, boxes), torch.stack(expected), rtol=1e-6, atol=1e-9)


def test_equation_4_to_the_letter() -> None:
    mask = ChannelMask(WIDTH).double()
    queries, roi = torch.randn(5, WIDTH).double(), torch.randn(5, POSITIONS, WIDTH).double()
    weighted = mask(queries, roi)
    for k in range(5):
        g = mask.expand.weight @ (mask.reduce.weight @ queries[k] + mask.reduce.bias) + mask.expand.bias
        m = 1 / (1 + torch.exp(-g))
        for position in range(POSITIONS):  # "the value in them shares for each spatial position"
            torch.testing.assert_close(weighted[k, position], m * roi[k, position])


@pytest.mark.parametrize(("bias", "factor"), [(50.0, 1.0), (-50.0, 0.0)], ids=["open", "shut"])
def test_saturated_masks_pass_everything_or_nothing(bias: float, factor: float) -> None:
    mask = ChannelMask(WIDTH)
    nn.init.constant_(mask.expand.bias, bias)
    queries, roi = torch.randn(5, WIDTH), torch.randn(5, POSITIONS, WIDTH)
    torch.testing.assert_close(mask(queries, roi), factor * roi)


def test_algorithm_2_to_the_letter() -> None:
    """The choice `literal`: dynamic convolution, mask, flatten, linear; then Sparse R-CNN's usual norms."""
    module = ChannelWeighted(WIDTH, DYNAMIC, HIDDEN, POSITIONS, literal=True).double()
    queries, roi = torch.randn(5, WIDTH).double(), torch.randn(5, POSITIONS, WIDTH).double()
    roi_feats = module.dynamic_conv(queries, roi)
    expected = []
    for branch in (module.class_branch, module.box_branch):
        m = torch.sigmoid(branch.mask.expand(branch.mask.reduce(queries)))
        flat = (roi_feats * m[:, None]).flatten(1)
        obj_feats = torch.relu(branch.out.norm(branch.out.linear(flat)))
        expected.append(branch.feedforward(branch.norm(queries + obj_feats)))
    result = module(queries, roi)
    torch.testing.assert_close(result.class_features, expected[0])
    torch.testing.assert_close(result.box_features, expected[1])
    torch.testing.assert_close(result.queries, expected[0] + expected[1])


def test_the_release_adds_a_norm_and_a_projected_residual_to_algorithm_2() -> None:
    def size(kind: InteractionKind) -> int:
        module = build_interaction(kind, WIDTH, DYNAMIC, HIDDEN, POSITIONS)
        return sum(parameter.numel() for parameter in module.parameters())

    layer_norm, linear = 2 * WIDTH, WIDTH * WIDTH + WIDTH
    in_a_branch = layer_norm + (linear + layer_norm)  # after the mask; around the residual
    assert size("dcw") - size("dcw_literal") == 2 * in_a_branch


def test_entangled_features_serve_class_box_and_next_stage() -> None:
    result = Entangled(WIDTH, DYNAMIC, HIDDEN, POSITIONS)(torch.randn(5, WIDTH), torch.randn(5, POSITIONS, WIDTH))
    assert torch.equal(result.class_features, result.box_features)
    assert torch.equal(result.class_features, result.queries)


def test_half_the_dimension_for_each_task_and_their_concatenation_to_the_next_stage() -> None:
    module = HalfDimension(WIDTH, DYNAMIC, HIDDEN, POSITIONS)
    queries, roi = torch.randn(5, WIDTH), torch.randn(5, POSITIONS, WIDTH)
    result = module(queries, roi)
    assert result.class_features.shape == result.box_features.shape == result.queries.shape == (5, WIDTH)
    class_half, box_half = result.queries.chunk(2, dim=-1)
    torch.testing.assert_close(result.class_features, module.class_branch.widen(class_half))
    torch.testing.assert_close(result.box_features, module.box_branch.widen(box_half))

    other_box_channels = torch.cat([roi[..., : WIDTH // 2], torch.randn(5, POSITIONS, WIDTH // 2)], dim=-1)
    changed = module(queries, other_box_channels)
    assert torch.equal(changed.class_features, result.class_features)  # the class never sees the box's channels
    assert not torch.equal(changed.box_features, result.box_features)


def test_full_dimension_for_each_task_and_their_sum_to_the_next_stage() -> None:
    module = FullDimension(WIDTH, DYNAMIC, HIDDEN, POSITIONS)
    queries, roi = torch.randn(5, WIDTH), torch.randn(5, POSITIONS, WIDTH)
    result = module(queries, roi)
    assert result.class_features.shape == result.box_features.shape == (5, WIDTH)
    torch.testing.assert_close(result.queries, result.class_features + result.box_features)

    other_class_channels = torch.cat([torch.randn(5, POSITIONS, WIDTH // 2), roi[..., WIDTH // 2 :]], dim=-1)
    changed = module(queries, other_class_channels)
    assert torch.equal(changed.box_features, result.box_features)
    assert not torch.equal(changed.class_features, result.class_features)
