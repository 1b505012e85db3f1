"""One update of the model: its gradient, the average of the weights, and numbers that are not finite."""

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
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.engine.told import Told
from uncrowd.engine.log import RunLog
from uncrowd.engine.metrics import read_metrics
from uncrowd.engine.micro_batches import split
from uncrowd.engine.position import read_progress
from uncrowd.engine.recompute import recompute_layers
from uncrowd.engine.train import Trainer
from uncrowd.errors import InputError, NonFiniteError
from uncrowd.losses.criterion import Losses
from uncrowd.ops.roi_align import PyramidRows, as_rows, roi_align
from uncrowd.structures import Batch

Build = Callable[..., Trainer]


def gradients(trainer: Trainer, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Returns the gradients that the optimiser gets."""
    caught: dict[str, Tensor] = {}

    def catch(*_: Any) -> None:
        named = trainer.bare_model.named_parameters()
        caught.update({name: p.grad.clone() for name, p in named if p.grad is not None})

    monkeypatch.setattr(trainer.optimizer, "step", catch)
    trainer._step(batch)
    return caught


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.bare_model.state_dict().items()}


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulated_gradients_are_those_of_the_whole_batch(
    build: Build, batches: Iterator[Batch], monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    """All losses are divided by the objects of the whole batch, so micro-batches may have different numbers of them."""
    batch = next(batches)
    whole, parts = build(ema_decay=None), build(ema_decay=None, accumulate=accumulate)
    for trainer in (whole, parts):
        trainer.bare_model.double()
    expected = gradients(whole, batch, monkeypatch)
    got = gradients(parts, batch, monkeypatch)
    assert expected.keys() == got.keys() == dict(whole.bare_model.named_parameters()).keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-9, atol=1e-12, msg=name)
    torch.testing.assert_close(parts._watch.values, whole._watch.values)  # loss and norm


def test_every_parameter_gets_a_gradient(
    build: Build, batches: Iterator[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Distributed training would wait forever for a parameter without a gradient."""
    trainer = build()
    caught = gradients(trainer, next(batches), monkeypatch)
    assert caught.keys() == dict(trainer.bare_model.named_parameters()).keys()


def test_a_batch_without_objects_trains(build: Build, batches: Iterator[Batch]) -> None:
    batch = next(batches)
    for target in batch.targets:
        object.__setattr__(target, "boxes", target.boxes[:0])
        object.__setattr__(target, "labels", target.labels[:0])
    trainer = build()
    before = weights(trainer)
    losses, norm, _, _ = trainer._step(batch)
    assert losses.l1.tolist() == [0, 0]
    assert losses.total.item() > 0
    assert math.isfinite(norm.item())
    assert any((before[name] != tensor).any() for name, tensor in weights(trainer).items())


def test_split_keeps_the_padding_and_the_order(batches: Iterator[Batch]) -> None:
    batch = next(batches)
    first, second = split(batch, 2)
    assert torch.equal(torch.cat([first.images, second.images]), batch.images)
    assert torch.equal(torch.cat([first.sizes, second.sizes]), batch.sizes)
    assert first.targets + second.targets == batch.targets
    assert first.ids + second.ids == batch.ids


@pytest.mark.parametrize(("world_size", "accumulate"), [(3, 1), (2, 3), (1, 8)])
def test_a_batch_that_cannot_be_split_is_refused(build: Build, world_size: int, accumulate: int) -> None:
    config = build(accumulate=accumulate).config
    with pytest.raises(InputError, match=rf"batch of 4 .* multiple of {world_size * accumulate}"):
        config.per_rank(world_size)


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0},
        {"log_every": 0},
        {"checkpoint_every": 0},
        {"workers": -1},
        {"ema_decay": 1.0},
        {"patience": 0},
        {"rare_below": 2.0},
    ],
)
def test_settings_without_sense_are_refused(build: Build, setting: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(setting))):
        build(**setting)


def test_average_is_the_one_computed_by_hand(build: Build, batches: Iterator[Batch]) -> None:
    trainer = build(ema_decay=0.9)
    assert trainer.average is not None
    expected = weights(trainer)
    for step, batch in enumerate(itertools.islice(batches, 3), start=1):
        trainer._step(batch)
        trainer.position = trainer.position._replace(step=step)
        decay = min(0.9, step / (step + 9))  # 1/10, 2/11, 3/12: it rises to its value
        expected = {name: decay * expected[name] + (1 - decay) * tensor for name, tensor in weights(trainer).items()}
    for name, tensor in trainer.average.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-7, msg=name)
    assert trainer.evaluated_model is trainer.average
    assert build(ema_decay=None).evaluated_model is not None


def test_bf16_trains_close_to_fp32(build: Build, batches: Iterator[Batch], monkeypatch: pytest.MonkeyPatch) -> None:
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
    plain, half = build(), build(bf16=True)
    for step, batch in enumerate(itertools.islice(batches, 3), start=1):
        expected, got = plain._step(batch)[0], half._step(batch)[0]
        for trainer in (plain, half):
            trainer.position = trainer.position._replace(step=step)
        assert got.total.dtype == torch.float32
        assert got.total.item() == pytest.approx(expected.total.item(), rel=0.02 if step == 1 else 0.1)
    assert pooled == {torch.float32, torch.bfloat16}
    assert {p.dtype for p in half.bare_model.parameters()} == {torch.float32}


def spoil_loss(trainer: Trainer, at_step: int) -> None:
    """Makes the loss of one step infinite, and with it the gradient."""
    criterion = trainer.criterion

    def spoiled(*args: Any, **kwargs: Any) -> Losses:
        losses = criterion(*args, **kwargs)
        return losses._replace(total=losses.total * math.inf) if trainer.global_step == at_step else losses

    trainer.criterion = spoiled


def spoil_gradient(trainer: Trainer, at_step: int) -> None:
    """Makes one gradient of one step infinite, while the loss is finite."""
    parameter = next(trainer.bare_model.head.parameters())  # pyright: ignore[reportAttributeAccessIssue]
    parameter.register_hook(lambda gradient: gradient * math.inf if trainer.global_step == at_step else gradient)


@pytest.mark.parametrize("spoil", [spoil_loss, spoil_gradient])
@pytest.mark.parametrize("at_step", [1, 3], ids=["within an epoch", "in the last step of an epoch"])
def test_a_number_that_is_not_finite_ends_the_run_and_names_the_step(
    build: Build, spoil: Callable[[Trainer, int], None], at_step: int
) -> None:
    """It is noticed in the next step or at the end of the epoch, but the step that caused it is named."""
    trainer = build(checkpoint_every=1, epochs=2)
    guilty = list(trainer.loader.epoch(0))[at_step].ids
    spoil(trainer, at_step)
    with pytest.raises(NonFiniteError) as caught:
        trainer.train(None, Told())
    message = str(caught.value)
    assert (
        f"at step {at_step} (learning rate {trainer.optim.learning_rate * (0.505 if at_step == 1 else 1):g})" in message
    )
    assert f"images: {', '.join(map(str, guilty))}." in message
    resumed = build(checkpoint_every=1, epochs=2)
    resumed.resume()
    assert resumed.position == (0, at_step), "the checkpoint is from before the guilty step"
    assert all(tensor.isfinite().all() for tensor in load_file(trainer.checkpoint).values())


def test_damaged_weights_are_found_in_the_forward_pass(build: Build) -> None:
    trainer = build()
    with torch.no_grad():
        next(trainer.bare_model.parameters()).fill_(math.nan)
    first = next(trainer.loader.epoch(0)).ids
    with pytest.raises(NonFiniteError, match=rf"step 0 .* not finite; images: {', '.join(map(str, first))}\."):
        trainer.train(None, Told())
    assert not trainer.checkpoint.exists()


def test_a_step_waits_for_the_device_once(
    build: Build, batches: Iterator[Batch], monkeypatch: pytest.MonkeyPatch
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

    trainer, batch = build(ema_decay=0.9), next(batches)
    for name in ("cpu", "item", "numpy", "__bool__", "__float__", "__int__", "nonzero"):
        monkeypatch.setattr(Tensor, name, counting(name, getattr(Tensor, name)))
    trainer._step(batch)
    assert waits == {
        "cpu in matcher.py": 1,
        "numpy in matcher.py": 1,  # the same costs, on the host
    }


def test_the_best_score_is_kept_and_none_is_no_score(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, told = build(epochs=5), Told([None, 0.2, 0.1, 0.2, 0.3])
    monkeypatch.setattr(trainer.loader, "epoch", lambda epoch, start: iter(()))
    assert trainer.train(None, told)
    evaluated = [("evaluate", epoch) for epoch in (1, 2, 3, 4, 5)]
    assert told.events == [*evaluated[:2], ("improved", 2), *evaluated[2:], ("improved", 5), ("finished", 0)]
    assert trainer.best == 0.3


def test_patience_ends_a_run_whose_score_gets_no_better(
    build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trainer, told = build(epochs=9, patience=2), Told([0.1, None, 0.05, 0.2, 0.2, None, 0.1, 0.9])
    monkeypatch.setattr(trainer.loader, "epoch", lambda epoch, start: iter(()))
    log = RunLog(tmp_path / "log")
    assert trainer.train(log, told)
    log.close()
    assert told.events == [
        *[("evaluate", 1), ("improved", 1), ("evaluate", 2), ("evaluate", 3), ("evaluate", 4), ("improved", 4)],
        *[("evaluate", 5), ("evaluate", 6), ("evaluate", 7), ("finished", 0)],
    ], "an evaluation without a score does not count"
    assert trainer.is_finished
    (row,) = read_metrics(tmp_path / "log" / "metrics.jsonl")
    assert (row["kind"], row["epoch"]) == ("stop", 7)
    assert row["reason"] == "no better score than 0.2 in the last 2 evaluations"
    resumed, patient = build(epochs=9, patience=2), build(epochs=9, patience=3)
    for again in (resumed, patient):
        again.facts = trainer.facts
        again.resume()
        assert (again.position, again.best, again.since_best) == ((7, 0), 0.2, 2)
    assert (resumed.is_finished, patient.is_finished) == (True, False)


def test_a_checkpoint_of_an_earlier_version_has_no_score_since_the_best() -> None:
    assert read_progress({"position": [1, 2], "best": 0.5}, 3, 4, "it") == ((1, 2), 0.5, 0)
    with pytest.raises(InputError, match="it has a damaged record"):
        read_progress({"position": [1, 2], "best": 0.5, "since_best": -1}, 3, 4, "it")


def test_recomputed_stages_give_the_same_gradients_to_the_bit(
    build: Build, batches: Iterator[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, entered = next(batches), []
    plain, recomputed = build(ema_decay=None), build(ema_decay=None)
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


def test_a_copy_of_a_recomputed_model_has_layers_of_its_own(build: Build, batches: Iterator[Batch]) -> None:
    """The average of the weights is such a copy."""
    batch, model = next(batches), build(ema_decay=None).bare_model
    recompute_layers(model)  # pyright: ignore[reportArgumentType]
    copy = deepcopy(model)
    with torch.no_grad():
        before = model(batch.images, batch.sizes)[-1].boxes
        for parameter in copy.parameters():
            parameter.mul_(1.5)
        assert torch.equal(model(batch.images, batch.sizes)[-1].boxes, before)
        assert not torch.equal(copy(batch.images, batch.sizes)[-1].boxes, before)


def test_the_last_epoch_is_always_evaluated(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, told = build(epochs=5, evaluate_every=2), Told()
    monkeypatch.setattr(trainer.loader, "epoch", lambda epoch, start: iter(()))
    trainer.train(None, told)
    assert told.events == [("evaluate", 2), ("evaluate", 4), ("evaluate", 5), ("finished", 0)]


def test_dropout_depends_on_the_step_and_not_on_what_was_before(build: Build, batches: Iterator[Batch]) -> None:
    """So a resumed run draws the same numbers as an uninterrupted one."""
    trainer, batch = build(), next(batches)
    drawn = []
    trainer.model.register_forward_hook(lambda *_: drawn.append(torch.rand(()).item()))
    for step in (5, 6, 5):
        trainer.position = trainer.position._replace(step=step)
        torch.rand(step)
        trainer._step(batch)
    assert drawn[0] == drawn[2] != drawn[1]
    assert isinstance(trainer.model, nn.Module)
