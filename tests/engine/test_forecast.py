"""A few steps of a training tell how long it will take."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.engine.told import Told
from uncrowd.engine.forecast import Forecast, StepTimer, peak_memory
from uncrowd.engine.train import Position, Trainer

Build = Callable[..., Trainer]


def test_hours_are_those_of_all_remaining_steps() -> None:
    forecast = Forecast(images=16, steps=7200, evaluations=12, seconds=1.5, memory=3 * 2**30, size=(320, 480))
    assert forecast.hours == 3
    assert str(forecast) == (
        "forecast: 7200 steps of 16 images at 1.50 s each take 3.0 hours, and the first 3 took 3.0 GiB of memory "
        "at the peak. Not included: 12 evaluations, images padded to more than 320 x 480, steps with more queries, "
        "and the memory of processes that load images."
    )


@pytest.mark.parametrize(("seconds", "words"), [(3600.0, "1.0 hours"), (300.0, "5 minutes"), (20.0, "under a minute")])
def test_it_says_hours_or_minutes(seconds: float, words: str) -> None:
    forecast = Forecast(images=1, steps=1, evaluations=1, seconds=seconds, memory=None, size=(1, 1))
    assert f"take {words}. Not included: 1 evaluation, " in str(forecast)


def test_the_first_step_is_not_timed() -> None:
    """The first step ends at 100 seconds. Two steps are timed until 107 seconds."""
    now = iter([100.0, 107.0])
    timer = StepTimer(torch.device("cpu"), clock=lambda: next(now))
    sizes = [(64, 96), (96, 64), (80, 80), (999, 999)]
    assert [timer.step_done(size) for size in sizes] == [None, None, (3.5, (80, 80)), None]


def test_a_process_holds_memory() -> None:
    memory = peak_memory(torch.device("cpu"))
    assert memory is None or memory > 10 * 2**20


def test_a_rehearsal_counts_all_that_is_left_and_writes_nothing(build: Build, tmp_path: Path) -> None:
    forecast = build(epochs=5, evaluate_every=2).rehearse()
    assert (forecast.images, forecast.steps, forecast.evaluations) == (4, 20, 3)
    assert list(tmp_path.iterdir()) == []

    resumed = build(epochs=5, evaluate_every=2)
    resumed.position = Position(2, 1)
    forecast = resumed.rehearse()
    assert (forecast.steps, forecast.evaluations) == (11, 2)


def test_an_epoch_may_have_fewer_steps_than_are_measured(build: Build) -> None:
    assert build(epochs=1, batch_size=16).rehearse().steps == 1


def test_a_run_is_the_same_with_and_without_it(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    with_forecast, without = build(), build()
    with_forecast.train(None, Told())
    monkeypatch.setattr(StepTimer, "step_done", lambda *_: None)
    without.train(None, Told())
    for ours, theirs in zip(
        with_forecast.learner.bare_model.parameters(), without.learner.bare_model.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)
