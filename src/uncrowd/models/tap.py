"""Attention rows and channel masks of a forward pass, as in Figure 1. The model itself does not keep them."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncrowd.boxes import at_least_fp32
from uncrowd.models.channel_weighting import ChannelMask
from uncrowd.models.interaction import ChannelWeighted
from uncrowd.models.self_attention import (
    ContentAttention,
    IoUEnhancedAttention,
    IoUOnlyAttention,
)
from uncrowd.models.stage import Stage
from uncrowd.ops.precision import without_autocast
from uncrowd.structures import StageOutput


class Attention(NamedTuple):
    """How much each query (row) takes from each query of its image, by head; every row sums to 1.

    before: softmax(q k / sqrt(d_head)), Eq. 1; None where only the IoU routes the values. after: the same with the IoU
    of the boxes, Eq. 3, and what else is learned of them; None where attention does not use the boxes.
    """

    before: Float[Tensor, "b heads n n"] | None
    after: Float[Tensor, "b heads n n"] | None


class Masked(NamedTuple):
    """One branch of Eq. 4.

    mask: the weight in (0, 1) of each channel. response: the RoI features times the mask, before any norm, at the p
    cells of the pooled box, row by row.
    """

    mask: Float[Tensor, "b n d"]
    response: Float[Tensor, "b n p d"]


@dataclass(frozen=True, kw_only=True)
class StageTap:
    """What one stage received and computed, for b images and n queries.

    boxes: those the stage received, in network pixels; attention compares them, and RoI features are pooled from them.
    output: the predictions of the stage. attention: None without self attention. class_mask, box_mask: None without
    dynamic channel weighting.
    """

    boxes: Float[Tensor, "b n 4"]
    output: StageOutput
    attention: Attention | None
    class_mask: Masked | None
    box_mask: Masked | None


@contextmanager
def tap(model: nn.Module) -> Iterator[list[StageTap]]:
    """`with tap(model) as taps: model(images, sizes)` fills `taps` with one entry a stage, of the last forward pass.

    The entries come from forward hooks, which are removed afterwards. They change no result and carry no gradient. A
    model without stages, such as DETR, gives no entries. Compiled code calls no hooks, so if any part of the model is
    compiled, the whole process runs uncompiled meanwhile. The replay of a CUDA graph calls no hooks either: call the
    model itself, not a predictor that has seen this size of image.
    """
    stages = [module for module in model.modules() if isinstance(module, Stage)]
    taps: list[StageTap] = []
    calls: dict[nn.Module, _Call] = {}

    def record(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        calls[module] = _Call(inputs, output)

    def finish(stage: nn.Module, inputs: tuple[Any, ...], output: StageOutput) -> None:
        assert isinstance(stage, Stage)
        if stage is stages[0]:
            taps.clear()
        taps.append(_tapped(stage, inputs[0], output, calls))
        calls.clear()

    with ExitStack() as hooks:
        # only if needed, because it affects the whole process and loads the compiler
        if any(module._compiled_call_impl is not None for module in model.modules()):
            hooks.enter_context(torch.compiler.set_stance("force_eager"))
        for stage in stages:
            hooks.enter_context(stage.register_forward_hook(finish))
            for module in stage.modules():
                if module is stage.attention or isinstance(module, ChannelMask):
                    hooks.enter_context(module.register_forward_hook(record))
        yield taps


@torch.no_grad()
def attention_weights(
    module: nn.Module,
    queries: Float[Tensor, "b n d"],
    boxes: Float[Tensor, "b n 4"],
    scores: Float[Tensor, "b n"] | None = None,
) -> Attention:
    """Returns the weights with which a self attention module gathers its values for these inputs, in at least fp32."""
    if isinstance(module, IoUOnlyAttention):
        return Attention(before=None, after=module.weights(boxes)[:, None])
    assert isinstance(module, ContentAttention | IoUEnhancedAttention), type(module)
    query, key, _ = map(at_least_fp32, module.project(queries, queries, queries))
    with without_autocast(query.device):
        logits = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    before = logits.softmax(dim=-1)
    if isinstance(module, ContentAttention):
        return Attention(before=before, after=None)
    with without_autocast(query.device):
        bias = module.bias(boxes, scores)
    return Attention(before=before, after=(logits + bias.to(logits.dtype)).softmax(dim=-1))


class _Call(NamedTuple):
    inputs: tuple[Any, ...]  # tensors, or None for an input that is not given
    output: Tensor


@torch.no_grad()
def _tapped(stage: Stage, boxes: Tensor, output: StageOutput, calls: Mapping[nn.Module, _Call]) -> StageTap:
    module, branches = stage.attention, stage.interaction
    weighted = isinstance(branches, ChannelWeighted)
    return StageTap(
        boxes=boxes.detach(),
        output=StageOutput(*(tensor.detach() for tensor in output)),
        attention=None if module is None else attention_weights(module, *calls[module].inputs),
        class_mask=_masked(branches.class_branch.mask, calls, len(boxes)) if weighted else None,
        box_mask=_masked(branches.box_branch.mask, calls, len(boxes)) if weighted else None,
    )


def _masked(module: ChannelMask, calls: Mapping[nn.Module, _Call], images: int) -> Masked:
    """Returns what a mask did, with the queries of each image apart; the stage runs those of all images together."""
    (queries, _), response = calls[module]
    per_image = (images, -1)
    return Masked(module.mask(queries).unflatten(0, per_image), response.detach().unflatten(0, per_image))
