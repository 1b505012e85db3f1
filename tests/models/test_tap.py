"""The tap records what the stages compute, changes no bit of it, and leaves no hooks behind."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from tests.exported import symbolic_shapes
from tests.tiny import TINY_MODEL
from uncrowd.models.dynamic_conv import DynamicConv
from uncrowd.models.interaction import InteractionKind
from uncrowd.models.self_attention import AttentionKind, ContentAttention, IoUEnhancedAttention, IoUOnlyAttention
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.models.stage import Stage
from uncrowd.models.tap import StageTap, attention_weights, tap

SIZES = torch.tensor([[64, 96], [48, 80]])
KINDS: list[AttentionKind] = ["content", "iou", "iou_learned", "iou_only"]


def detector(attention: AttentionKind = "iou", interaction: InteractionKind = "dcw") -> SparseRCNN:
    """A tiny detector whose boxes are small and scattered, as those of a trained one."""
    torch.manual_seed(0)
    config = TINY_MODEL
    model = SparseRCNN(replace(config, stage=replace(config.stage, attention=attention, interaction=interaction)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
        centres = torch.rand(config.proposals, 2)
        model.proposal_boxes_cxcywh_norm.copy_(torch.cat([centres, torch.full_like(centres, 0.3)], dim=1))
    return model.eval()


def images() -> Tensor:
    return torch.randint(0, 256, (2, 3, 64, 96), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def tapped(model: nn.Module) -> list[StageTap]:
    with tap(model) as taps:
        model(images(), SIZES)
    return taps


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_it_changes_no_output_and_leaves_no_hooks() -> None:
    model = detector()
    before = model(images(), SIZES)
    with tap(model) as taps:
        during = model(images(), SIZES)
        assert hooks(model) > 0
    assert hooks(model) == 0
    recorded = len(taps)
    after = model(images(), SIZES)
    assert len(taps) == recorded == 2
    for one, two, three in zip(before, during, after, strict=True):
        assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(one, two, three, strict=True))


def test_an_error_removes_the_hooks_too() -> None:
    model = detector()
    with pytest.raises(RuntimeError), tap(model):
        raise RuntimeError
    assert hooks(model) == 0


def test_a_compiled_stage_is_recorded_and_stays_compiled() -> None:
    """The compiler counts its graphs: the tap causes none, and later calls use those made before."""
    model = detector()
    graphs: list[object] = []

    def compiler(graph: GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    with symbolic_shapes():
        for stage in model.layers:
            stage.compile(backend=compiler)
        with tap(model) as taps_before:
            model(images(), SIZES)
        assert (len(taps_before), len(graphs)) == (2, 0)
        model(images(), SIZES)
        made = len(graphs)
        assert made > 0
        with tap(model) as taps_after:
            model(images(), SIZES)
        model(images(), SIZES)
        assert (len(taps_after), len(graphs)) == (2, made)


def test_stages_come_in_order_each_with_the_boxes_it_received() -> None:
    model = detector()
    taps = tapped(model)
    outputs = model(images(), SIZES)
    assert [torch.equal(tap.output.boxes, output.boxes) for tap, output in zip(taps, outputs, strict=True)] == [
        True
    ] * 2
    assert torch.equal(taps[1].boxes, outputs[0].boxes)
    width, height = taps[0].boxes[1, 0, 2:] - taps[0].boxes[1, 0, :2]
    assert (float(width), float(height)) == pytest.approx((0.3 * 80, 0.3 * 48))
    assert not any(tensor.requires_grad for entry in taps for tensor in (entry.boxes, *entry.output))


def test_another_forward_replaces_the_taps_of_the_first() -> None:
    model = detector()
    with tap(model) as taps:
        model(images(), SIZES)
        model(images()[:1], SIZES[:1])
    assert [len(entry.boxes) for entry in taps] == [1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_route_the_values_to_the_output_of_the_module(kind: AttentionKind) -> None:
    model = detector(kind)
    for stage, entry in zip(model.head.stages, tapped(model), strict=True):
        assert isinstance(stage, Stage)
        module = stage.attention
        assert isinstance(module, ContentAttention | IoUEnhancedAttention | IoUOnlyAttention)
        attended: list[tuple[Tensor, Tensor]] = []
        with module.register_forward_hook(lambda module, inputs, output, to=attended: to.append((inputs[0], output))):
            model(images(), SIZES)
        [(queries, output)] = attended
        assert entry.attention is not None
        rows = entry.attention.after if entry.attention.after is not None else entry.attention.before
        assert rows is not None
        assert rows.shape == (2, 1 if kind == "iou_only" else 4, 10, 10)
        torch.testing.assert_close(rows.sum(-1), torch.ones_like(rows[..., 0]))
        routed = rows @ value_of(module, queries)
        torch.testing.assert_close(module.out(routed.transpose(1, 2).flatten(2)), output)


def value_of(module: nn.Module, queries: Tensor) -> Tensor:
    """Returns the values that a module routes: (b, heads, n, d / heads)."""
    if isinstance(module, IoUOnlyAttention):
        return module.value(queries)[:, None]
    assert isinstance(module, ContentAttention | IoUEnhancedAttention)
    return module.qkv(queries).chunk(3, dim=-1)[2].unflatten(-1, (module.heads, -1)).transpose(1, 2)


def test_before_and_after_are_equation_1_and_3() -> None:
    torch.manual_seed(0)
    module, queries = IoUEnhancedAttention(8, heads=2), torch.randn(1, 3, 8)
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 20], [50, 50, 60, 60]]])
    before, after = attention_weights(module, queries, boxes)
    assert before is not None
    assert after is not None
    query, key, _ = module.qkv(queries)[0].unflatten(-1, (3, 2, 4)).unbind(1)
    raw = torch.exp(query[0, 1] @ key[:, 1].T / 2)  # the first query, the second head, sqrt(4)
    torch.testing.assert_close(before[0, 1, 0], raw / raw.sum())
    weighted = raw * torch.tensor([1, 0.5, 0])
    torch.testing.assert_close(after[0, 1, 0], weighted / weighted.sum())


def test_which_rows_each_kind_of_attention_has() -> None:
    def has(kind: AttentionKind) -> tuple[bool, bool] | None:
        attention = tapped(detector(kind))[0].attention
        return None if attention is None else (attention.before is not None, attention.after is not None)

    assert [has("content"), has("iou"), has("iou_learned"), has("iou_only"), has("none")] == [
        (True, False),
        (True, True),
        (True, True),
        (False, True),
        None,
    ]


def test_a_shared_stage_has_an_entry_for_each_repetition() -> None:
    config = replace(TINY_MODEL, stages=3, stage=replace(TINY_MODEL.stage, weights="shared"))
    model = SparseRCNN(config).eval()
    outputs, taps = model(images(), SIZES), tapped(model)
    assert len(taps) == 3
    assert all(torch.equal(entry.output.boxes, output.boxes) for entry, output in zip(taps, outputs, strict=True))


def test_masks_weigh_the_output_of_the_dynamic_convolution() -> None:
    model = detector()
    convolved: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        convolved.append(output)

    for module in model.modules():
        if isinstance(module, DynamicConv):
            module.register_forward_hook(keep)
    last = tapped(model)[1]
    assert last.class_mask is not None
    assert last.box_mask is not None
    for masked in (last.class_mask, last.box_mask):
        assert masked.mask.shape == (2, 10, 32)
        assert masked.response.shape == (2, 10, 49, 32)
        assert masked.mask.min() > 0
        assert masked.mask.max() < 1
        expected = convolved[1].unflatten(0, (2, 10)) * masked.mask[:, :, None]
        torch.testing.assert_close(masked.response, expected, rtol=0, atol=0)
    assert not torch.equal(last.class_mask.mask, last.box_mask.mask)


def test_without_channel_weighting_there_are_no_masks() -> None:
    (first, _) = tapped(detector("content", "entangled"))
    assert (first.class_mask, first.box_mask) == (None, None)


def test_a_model_without_stages_gives_no_taps() -> None:
    with tap(nn.Linear(2, 2)) as taps:
        pass
    assert taps == []
