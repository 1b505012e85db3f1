"""IoU-enhanced attention is finite, with its gradients, for all boxes that a stage may receive, and can learn more."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.plain import attention as plain
from tests.plain.iou import self_iou as plain_self_iou
from uncrowd.models.self_attention import (
    AttentionKind,
    IoUEnhancedAttention,
    IoUOnlyAttention,
    LearnedIoUAttention,
    build_self_attention,
    log_iou,
    self_iou,
    sine_coded_offsets,
)
from uncrowd.models.stage import Stage, StageConfig

WIDTH, HEADS = 16, 4
INF, NAN = math.inf, math.nan
DEGENERATE = {
    "zero area": [[5.0, 5, 5, 5], [5, 5, 5, 5], [0, 0, 10, 10]],
    "equal": [[0.0, 0, 10, 10]] * 3,
    "disjoint": [[0.0, 0, 1, 1], [10, 10, 11, 11], [20, 20, 21, 21]],
    "inverted": [[10.0, 10, 0, 0], [0, 0, 10, 10], [10, 10, 0, 0]],
    "far": [[1e30, 1e30, 2e30, 2e30], [-1e30, -1e30, 1e30, 1e30], [0, 0, 1, 1]],
    "infinite": [[-INF, -INF, INF, INF], [0, 0, INF, INF], [0, 0, 10, 10]],
    "NaN": [[NAN, NAN, NAN, NAN], [0, NAN, 10, 10], [0, 0, 10, 10]],
    "barely overlapping": [[0.0, 0, 1, 1], [1 - 1e-7, 1 - 1e-7, 2, 2], [-1e9, -1e9, 1e9, 1e9]],
}


def module_and_queries(kind: AttentionKind) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    module = build_self_attention(kind, WIDTH, HEADS)
    assert module is not None
    return module, torch.randn(1, 3, WIDTH, requires_grad=True)


@pytest.mark.parametrize("kind", ["iou", "iou_learned", "iou_only"])
@pytest.mark.parametrize("boxes", DEGENERATE.values(), ids=DEGENERATE.keys())
def test_degenerate_boxes_give_finite_outputs_and_gradients(kind: AttentionKind, boxes: list[list[float]]) -> None:
    module, queries = module_and_queries(kind)
    given = torch.tensor([boxes], requires_grad=True)
    gathered = module(queries, given, torch.tensor([[1.0, -2, 3]]))
    gathered.square().sum().backward()
    assert gathered.isfinite().all()
    for tensor in (queries, given, *module.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


def test_a_box_overlaps_itself_even_without_area() -> None:
    boxes = torch.tensor([[[5.0, 5, 5, 5], [5, 5, 5, 5], [0, 0, 10, 10]]])
    assert self_iou(boxes)[0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert log_iou(boxes)[0].tolist() == [[0, -INF, -INF], [-INF, 0, -INF], [-INF, -INF, 0]]


def test_pairs_that_do_not_overlap_pass_no_gradient_to_their_boxes() -> None:
    boxes = torch.tensor([DEGENERATE["disjoint"]], requires_grad=True)
    log_iou(boxes).exp().sum().backward()
    assert boxes.grad is not None
    assert boxes.grad.tolist() == torch.zeros(1, 3, 4).tolist()


def test_queries_of_disjoint_boxes_do_not_attend_to_each_other() -> None:
    module, queries = module_and_queries("iou")
    boxes = torch.tensor([[[0.0, 0, 10, 10], [5, 5, 15, 15], [100, 100, 110, 110]]])
    changed = queries.detach().clone()
    changed[0, 2] += 1
    before, after = module(queries, boxes), module(changed, boxes)
    assert torch.equal(before[0, :2], after[0, :2])
    assert not torch.allclose(before[0, 2], after[0, 2])


def test_the_gradient_reaches_learned_boxes() -> None:
    module, queries = module_and_queries("iou")
    boxes = torch.tensor([[[0.0, 0, 10, 10], [5, 5, 15, 15], [2, 2, 12, 12]]], requires_grad=True)
    module(queries, boxes).square().sum().backward()
    assert boxes.grad is not None
    assert boxes.grad.abs().min() > 0


def test_gradients_equal_finite_differences() -> None:
    module = IoUEnhancedAttention(WIDTH, HEADS).double()
    boxes = torch.tensor([[[0.0, 0, 10, 10], [5, 4, 15, 13], [2, 3, 12, 14]]], dtype=torch.float64, requires_grad=True)
    queries = torch.randn(1, 3, WIDTH, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (queries, boxes))


def test_mixed_precision_with_huge_logits_does_not_overflow() -> None:
    """The release's raw exp overflows above 11.09 in fp16 and above 88.7 in bf16; these logits are in the thousands."""
    module, _ = module_and_queries("iou")
    queries = 300 * torch.randn(1, 3, WIDTH)
    boxes = torch.tensor([[[0.0, 0, 10, 10], [5, 5, 15, 15], [2, 2, 12, 12]]])
    with torch.no_grad():
        query, key, _ = module.get_submodule("qkv")(queries).chunk(3, dim=-1)
        assert (query @ key.mT).abs().max() > 1000
        with torch.autocast("cpu", dtype=torch.bfloat16):
            in_half = module(queries, boxes)
        assert in_half.dtype == torch.bfloat16
        in_single = module(queries, boxes)
    assert in_half.isfinite().all()
    torch.testing.assert_close(in_half.float(), in_single, rtol=0.1, atol=0.02 * in_single.abs().max().item())


def test_mixed_precision_leaves_logits_and_iou_in_single(monkeypatch: pytest.MonkeyPatch) -> None:
    module, queries = module_and_queries("iou")
    attend, seen = F.scaled_dot_product_attention, []

    def spy(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor, dropout_p: float) -> Tensor:
        seen.extend([query.dtype, key.dtype, attn_mask.dtype, torch.is_autocast_enabled("cpu")])
        return attend(query, key, value, attn_mask=attn_mask, dropout_p=dropout_p)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        module(queries, torch.tensor([DEGENERATE["equal"]]))
    assert seen == [torch.float32, torch.float32, torch.float32, False]


@pytest.fixture
def learned() -> LearnedIoUAttention:
    """With all its terms away from where they start, in double precision."""
    torch.manual_seed(0)
    module = LearnedIoUAttention(WIDTH, HEADS).double()
    with torch.no_grad():
        for parameter in (module.extra_power, module.geometry.weight, module.score_weight):
            parameter.add_(torch.randn_like(parameter) * 0.5)
    return module


BOXES = [[0.0, 0, 10, 10], [5, 5, 15, 15], [2, 2, 12, 14], [100, 100, 110, 130]]
SCORES = [0.5, -1.0, 2.0, 1.0]


def test_learned_attention_equals_the_loop_over_pairs(learned: LearnedIoUAttention) -> None:
    queries, boxes = torch.randn(1, 4, WIDTH).double(), torch.tensor([BOXES]).double()
    overlap = torch.tensor(plain_self_iou(BOXES)).double()
    expected = plain.learned_iou_attention(queries[0], BOXES, overlap, SCORES, learned)
    torch.testing.assert_close(learned(queries, boxes, torch.tensor([SCORES]).double())[0], expected)


def test_learned_attention_starts_as_equation_3_with_a_gradient_in_each_term() -> None:
    """A box without overlap, too, begins as in Eq. 3: it attends to itself alone, up to rounding."""
    torch.manual_seed(0)
    module, fixed = LearnedIoUAttention(WIDTH, HEADS), IoUEnhancedAttention(WIDTH, HEADS)
    fixed.load_state_dict(module.state_dict(), strict=False)
    queries, boxes, scores = torch.randn(1, 4, WIDTH), torch.tensor([BOXES]), torch.tensor([SCORES])
    gathered = module(queries, boxes, scores)
    torch.testing.assert_close(gathered, fixed(queries, boxes), rtol=1e-6, atol=1e-6)
    gathered.square().sum().backward()
    for parameter in (module.extra_power, module.geometry.weight, module.score_weight):
        assert parameter.grad is not None
        assert (parameter.grad.abs() > 1e-6).any(dim=-1).all()


def test_a_stage_leaves_the_start_of_learned_attention_as_it_is() -> None:
    attention = Stage(StageConfig(attention="iou_learned", width=16, heads=4), num_classes=2).attention
    assert isinstance(attention, LearnedIoUAttention)
    assert not any(p.any() for p in (attention.extra_power, attention.geometry.weight, attention.score_weight))


def test_a_box_without_overlap_sees_others_where_a_head_has_learned_to(learned: LearnedIoUAttention) -> None:
    """The second moves what it receives from others by a visible amount once the power of IoU has fallen."""
    queries, boxes = torch.randn(1, 4, WIDTH).double(), torch.tensor([BOXES]).double()
    changed = queries.clone()
    changed[0, 0] += 1
    for power, least, most in ((0.0, 0.0, 1e-6), (-0.9, 1e-3, 10.0)):
        nn.init.constant_(learned.extra_power, power)
        moved = (learned(queries, boxes) - learned(changed, boxes))[0, 3].abs().max().item()
        assert least <= moved < most


def test_geometry_does_not_change_with_the_scale_of_the_image() -> None:
    boxes = torch.tensor([BOXES]).double()
    torch.testing.assert_close(sine_coded_offsets(boxes), sine_coded_offsets(boxes * 3))


def test_iou_only_has_no_query_and_key_projections() -> None:
    assert {name for name, _ in IoUOnlyAttention(WIDTH).named_children()} == {"value", "out"}
    assert build_self_attention("none", WIDTH, HEADS) is None
