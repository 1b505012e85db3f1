"""The training loop: its settings, its evaluations and early end, and numbers that are not finite."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.engine.told import Told
from uncrowd.engine.log import RunLog
from uncrowd.engine.metrics import read_metrics
from uncrowd.engine.position import read_progress
from uncrowd.engine.train import Trainer
from uncrowd.errors import InputError, NonFiniteError
from uncrowd.losses.criterion import Losses

Build = Callable[..., Trainer]


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


def spoil_loss(trainer: Trainer, at_step: int) -> None:
    """Makes the loss of one step infinite, and with it the gradient."""
    criterion = trainer.learner.criterion

    def spoiled(*args: Any, **kwargs: Any) -> Losses:
        losses = criterion(*args, **kwargs)
        return losses._replace(total=losses.total * math.inf) if trainer.global_step == at_step else losses

    trainer.learner.criterion = spoiled


def spoil_gradient(trainer: Trainer, at_step: int) -> None:
    """Makes one gradient of one step infinite, while the loss is finite."""
    parameter = next(trainer.learner.bare_model.head.parameters())  # pyright: ignore[reportAttributeAccessIssue]
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
        next(trainer.learner.bare_model.parameters()).fill_(math.nan)
    first = next(trainer.loader.epoch(0)).ids
    with pytest.raises(NonFiniteError, match=rf"step 0 .* not finite; images: {', '.join(map(str, first))}\."):
        trainer.train(None, Told())
    assert not trainer.checkpoint.exists()


def test_the_best_score_is_kept_and_none_is_no_score(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, told = build(epochs=5), Told([None, 0.2, 0.1, 0.2, 0.3])
    monkeypatch.setattr(trainer.loader, "epoch", lambda epoch, start: iter(()))
    assert trainer.train(None, told)
    evaluated = [("evaluate", epoch) for epoch in (1, 2, 3, 4, 5)]
    assert told.events == [*evaluated[:2], ("improved", 0), *evaluated[2:], ("improved", 0), ("finished", 0)]
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
        *[("evaluate", 1), ("improved", 0), ("evaluate", 2), ("evaluate", 3), ("evaluate", 4), ("improved", 0)],
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


def test_a_run_with_less_patience_than_before_ends_at_its_next_evaluation(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, told = build(epochs=5), Told([0.2, 0.1, 0.1])
    monkeypatch.setattr(trainer.loader, "epoch", lambda epoch, start: iter(()))
    monkeypatch.setattr(told, "finished", pytest.fail)
    monkeypatch.setattr(Trainer, "is_finished", property(lambda trainer: trainer.position.epoch == 3))
    trainer.train(None, told)
    monkeypatch.undo()

    resumed, told = build(epochs=5, patience=1, evaluate_every=5), Told([0.1])
    resumed.facts = trainer.facts
    resumed.resume()
    assert (resumed.position, resumed.since_best, resumed.is_finished) == ((3, 0), 2, False)
    monkeypatch.setattr(resumed.loader, "epoch", lambda epoch, start: iter(()))
    resumed.train(None, told)
    assert told.events == [("evaluate", 5), ("finished", 0)]


def test_a_checkpoint_of_an_earlier_version_has_no_score_since_the_best() -> None:
    assert read_progress({"position": [1, 2], "best": 0.5}, 3, 4, "it") == ((1, 2), 0.5, 0, True)
    with pytest.raises(InputError, match="it has a damaged record"):
        read_progress({"position": [1, 2], "best": 0.5, "since_best": -1}, 3, 4, "it")


def test_the_last_epoch_is_always_evaluated(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, told = build(epochs=5, evaluate_every=2), Told()
    monkeypatch.setattr(trainer.loader, "epoch", lambda epoch, start: iter(()))
    trainer.train(None, told)
    assert told.events == [("evaluate", 2), ("evaluate", 4), ("evaluate", 5), ("finished", 0)]
