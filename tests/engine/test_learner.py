"""One update of the model: its gradient, the average of the weights, and what it waits for."""

import itertools
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from uncrowd.engine.learner import Learner
from uncrowd.engine.micro_batches import split
from uncrowd.engine.recompute import recompute_layers
from uncrowd.ops.roi_align import PyramidRows, as_rows, roi_align
from uncrowd.structures import Batch

Learn = Callable[..., Learner]
# The learning rate of all steps here.
RATE = 5e-4


def gradients(learner: Learner, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Returns the gradients that the optimiser gets."""
    caught: dict[str, Tensor] = {}

    def catch(*_: Any) -> None:
        named = learner.bare_model.named_parameters()
        caught.update({name: p.grad.clone() for name, p in named if p.grad is not None})

    monkeypatch.setattr(learner.optimizer, "step", catch)
    learner.step(batch, 0, RATE)
    return caught


def weights(learner: Learner) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in learner.bare_model.state_dict().items()}


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulated_gradients_are_those_of_the_whole_batch(
    learn: Learn, batches: Iterator[Batch], monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    """All losses are divided by the objects of the whole batch, so micro-batches may have different numbers of them."""
    batch = next(batches)
    whole, parts = learn(ema_decay=None), learn(ema_decay=None, accumulate=accumulate)
    for learner in (whole, parts):
        learner.bare_model.double()
    expected = gradients(whole, batch, monkeypatch)
    got = gradients(parts, batch, monkeypatch)
    assert expected.keys() == got.keys() == dict(whole.bare_model.named_parameters()).keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-9, atol=1e-12, msg=name)
    torch.testing.assert_close(parts._watch.values, whole._watch.values)  # loss and norm


def test_every_parameter_gets_a_gradient(
    learn: Learn, batches: Iterator[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Distributed training would wait forever for a parameter without a gradient."""
    learner = learn()
    caught = gradients(learner, next(batches), monkeypatch)
    assert caught.keys() == dict(learner.bare_model.named_parameters()).keys()


def test_a_batch_without_objects_trains(learn: Learn, batches: Iterator[Batch]) -> None:
    batch = next(batches)
    for target in batch.targets:
        object.__setattr__(target, "boxes", target.boxes[:0])
        object.__setattr__(target, "labels", target.labels[:0])
    learner = learn()
    before = weights(learner)
    losses, norm, *_ = learner.step(batch, 0, RATE)
    assert losses.l1.tolist() == [0, 0]
    assert losses.total.item() > 0
    assert math.isfinite(norm.item())
    assert any((before[name] != tensor).any() for name, tensor in weights(learner).items())


def test_split_keeps_the_padding_and_the_order(batches: Iterator[Batch]) -> None:
    batch = next(batches)
    first, second = split(batch, 2)
    assert torch.equal(torch.cat([first.images, second.images]), batch.images)
    assert torch.equal(torch.cat([first.sizes, second.sizes]), batch.sizes)
    assert first.targets + second.targets == batch.targets
    assert first.ids + second.ids == batch.ids


def test_average_is_the_one_computed_by_hand(learn: Learn, batches: Iterator[Batch]) -> None:
    learner = learn(ema_decay=0.9)
    assert learner.average is not None
    expected = weights(learner)
    for step, batch in enumerate(itertools.islice(batches, 3), start=1):
        learner.step(batch, step - 1, RATE)
        decay = min(0.9, step / (step + 9))  # 1/10, 2/11, 3/12: it rises to its value
        expected = {name: decay * expected[name] + (1 - decay) * tensor for name, tensor in weights(learner).items()}
    for name, tensor in learner.average.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-7, msg=name)
    assert learner.evaluated_model is learner.average
    assert learn(ema_decay=None).evaluated_model is not None


def test_bf16_trains_close_to_fp32(learn: Learn, batches: Iterator[Batch], monkeypatch: pytest.MonkeyPatch) -> None:
    """Features are in bfloat16, boxes and losses in fp32."""
    pooled: set[torch.dtype] = set()

    def watched(features: list[Tensor]) -> PyramidRows:
        pooled.update(feature.dtype for feature in features)
        return as_rows(features)

    def with_exact_boxes(pyramid: PyramidRows, boxes: Tensor, size: int) -> Tensor:
        assert boxes.dtype == torch.float32
        return roi_align(pyramid, boxes, size)

    monkeypatch.setattr("uncrowd.models.stage.as_rows", watched)
    monkeypatch.setattr("uncrowd.models.stage.roi_align", with_exact_boxes)
    plain, half = learn(), learn(bf16=True)
    for step, batch in enumerate(itertools.islice(batches, 3)):
        expected, got = (learner.step(batch, step, RATE).losses for learner in (plain, half))
        assert got.total.dtype == torch.float32
        assert got.total.item() == pytest.approx(expected.total.item(), rel=0.02 if step == 0 else 0.1)
    assert pooled == {torch.float32, torch.bfloat16}
    assert {p.dtype for p in half.bare_model.parameters()} == {torch.float32}


def test_a_step_waits_for_the_device_once(
    learn: Learn, batches: Iterator[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the costs of the matching. Everything else that the host checks is copied at the same time."""
    waits: Counter[str] = Counter()

    def counting(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            caller = sys._getframe(1).f_code.co_filename
            if "/uncrowd/" in caller:
                waits[f"{name} in {Path(caller).name}"] += 1
            return original(*args, **kwargs)

        return counted

    learner, batch = learn(ema_decay=0.9), next(batches)
    for name in ("cpu", "item", "numpy", "__bool__", "__float__", "__int__", "nonzero"):
        monkeypatch.setattr(Tensor, name, counting(name, getattr(Tensor, name)))
    learner.step(batch, 0, RATE)
    assert waits == {
        "cpu in matcher.py": 1,
        "numpy in matcher.py": 1,  # the same costs, on the host
    }


def test_recomputed_stages_give_the_same_gradients_to_the_bit(
    learn: Learn, batches: Iterator[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, entered = next(batches), []
    plain, recomputed = learn(ema_decay=None), learn(ema_decay=None)
    recompute_layers(recomputed.bare_model)  # pyright: ignore[reportArgumentType]
    logits = recomputed.bare_model.get_submodule("head.stages.0.class_logits")
    logits.register_forward_hook(lambda *_: entered.append(torch.is_grad_enabled()))
    expected, got = gradients(plain, batch, monkeypatch), gradients(recomputed, batch, monkeypatch)
    assert expected.keys() == got.keys()
    assert all(torch.equal(got[name], gradient) for name, gradient in expected.items())
    assert entered == [True, True], "forward, and once more in the backward pass"
    with torch.inference_mode():
        recomputed.bare_model(batch.images, batch.sizes)
    assert len(entered) == 3
    assert recomputed.bare_model.state_dict().keys() == plain.bare_model.state_dict().keys()


def test_a_copy_of_a_recomputed_model_has_layers_of_its_own(learn: Learn, batches: Iterator[Batch]) -> None:
    """The average of the weights is such a copy."""
    batch, model = next(batches), learn(ema_decay=None).bare_model
    recompute_layers(model)  # pyright: ignore[reportArgumentType]
    copy = deepcopy(model)
    with torch.no_grad():
        before = model(batch.images, batch.sizes)[-1].boxes
        for parameter in copy.parameters():
            parameter.mul_(1.5)
        assert torch.equal(model(batch.images, batch.sizes)[-1].boxes, before)
        assert not torch.equal(copy(batch.images, batch.sizes)[-1].boxes, before)


def test_dropout_depends_on_the_step_and_not_on_what_was_before(learn: Learn, batches: Iterator[Batch]) -> None:
    """So a resumed run draws the same numbers as an uninterrupted one."""
    learner, batch = learn(), next(batches)
    drawn = []
    learner.model.register_forward_hook(lambda *_: drawn.append(torch.rand(()).item()))
    for step in (5, 6, 5):
        torch.rand(step)
        learner.step(batch, step, RATE)
    assert drawn[0] == drawn[2] != drawn[1]
