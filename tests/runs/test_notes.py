"""What a run says before its first step, and what it keeps of that for its report."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import TINY_MODEL, tiny_experiment
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.transforms import ResizeConfig
from uncrowd.models.sparse_rcnn import QueryKind
from uncrowd.recipes import Experiment
from uncrowd.runs.run import Run, begin


def test_held_out_images_are_said(crowd: Path, sayings: Callable[..., list[str]]) -> None:
    said = sayings(crowd / "annotations" / "instances_train.json", tiny_experiment())
    words = "2 images held out of the training split (10%, seed 0), because there is no validation split"
    assert f"scored on {words}" in said


def test_milestones_that_are_never_reached_are_said(crowd: Path, sayings: Callable[..., list[str]]) -> None:
    experiment = tiny_experiment()
    # the last step begins before 1.99 epochs are done
    optim = replace(experiment.optim, milestones=(0.5, 1.99, float(experiment.train.epochs), 48.0))
    said = sayings(crowd, replace(experiment, optim=optim))
    (note,) = [line for line in said if line.startswith("NOTE: training")]
    assert note.startswith("NOTE: training ends after 2 epochs, before the learning rate falls at 1.99 and 2 and 48;")


@pytest.mark.parametrize(
    ("queries", "advice"),
    [
        ("learned", "Raise --model.proposals."),
        ("dense", "Raise --model.proposals, or ask for more when you use the weights (--proposals)."),
    ],
)
def test_too_few_proposals_are_said(
    crowd: Path, sayings: Callable[..., list[str]], queries: QueryKind, advice: str
) -> None:
    experiment = tiny_experiment()
    said = sayings(crowd, replace(experiment, model=replace(TINY_MODEL, proposals=3, queries=queries)))
    (note,) = [line for line in said if line.startswith("NOTE: an image")]
    words = "NOTE: an image has up to 4 boxes, more than the 3 proposals; not all of them can be found."
    assert note == f"{words} {advice}"


def test_fewer_dense_queries_than_twice_the_boxes_are_said(crowd: Path, sayings: Callable[..., list[str]]) -> None:
    experiment = tiny_experiment()
    said = sayings(crowd, replace(experiment, model=replace(TINY_MODEL, proposals=7, queries="dense")))
    (note,) = [line for line in said if line.startswith("NOTE: an image")]
    assert note.startswith("NOTE: an image has up to 4 boxes; some of the 7 queries fall on the same object")
    assert "Give --model.proposals 8, or ask for more" in note


@pytest.mark.parametrize(("queries", "proposals"), [("learned", 4), ("dense", 8)])
def test_enough_proposals_are_not(
    crowd: Path, sayings: Callable[..., list[str]], queries: QueryKind, proposals: int
) -> None:
    experiment = tiny_experiment()
    said = sayings(crowd, replace(experiment, model=replace(TINY_MODEL, proposals=proposals, queries=queries)))
    assert not any("proposals" in line for line in said)


@pytest.mark.parametrize(("short_side", "tile"), [(24, None), (64, None), (16, 32), (48, 32)])
def test_small_objects_are_said(
    crowd: Path, sayings: Callable[..., list[str]], short_side: int, tile: int | None
) -> None:
    """The scenes have 64 x 96 pixels; tiles of 32 are resized like images."""
    experiment = tiny_experiment()
    train = open_dataset(crowd).train
    assert train is not None
    widths, heights = (train.boxes[:, 2:] - train.boxes[:, :2]).T
    median = np.median(np.sqrt(widths * heights)) * short_side / (64 if tile is None else tile)
    resize = ResizeConfig(short_side=short_side, max_size=500)
    said = sayings(crowd, replace(experiment, resize=resize, augment=replace(experiment.augment, tile=tile)))
    notes = [line for line in said if "half of the objects" in line]
    assert len(notes) == (median < 16)
    for note in notes:
        assert f"half of the objects are smaller than {median:.2g} x {median:.2g} pixels" in note
        assert note.endswith("or on smaller tiles (--augment.tile)." if tile else "or on tiles (--augment.tile).")


@pytest.mark.parametrize(
    ("milestones", "flags"),
    [
        ((), "--train.epochs 250"),
        ((1.0, 1.5), "--train.epochs 250 --optim.milestones 125 188"),
        ((48.0, 52.0), "--train.epochs 250 --optim.milestones 200"),
    ],
)
def test_few_steps_from_random_weights_are_said(
    crowd: Path, sayings: Callable[..., list[str]], milestones: tuple[float, ...], flags: str
) -> None:
    experiment = tiny_experiment()  # two epochs of four steps
    said = sayings(crowd, replace(experiment, optim=replace(experiment.optim, milestones=milestones)))
    assert f"NOTE: random weights learn more in 1,000 steps than in 8: {flags}" in said


def test_few_steps_from_other_weights_are_not(crowd: Path, sayings: Callable[..., list[str]], finished: Path) -> None:
    assert not any("steps than in" in line for line in sayings(crowd, tiny_experiment(), start_from=str(finished)))


def test_a_scaled_learning_rate_is_said(crowd: Path, sayings: Callable[..., list[str]]) -> None:
    experiment = tiny_experiment()
    said = sayings(crowd, replace(experiment, optim=replace(experiment.optim, scale_to_batch=16)))
    assert "learning rate 0.00025: 0.001 is for batches of 16, scaled to batches of 4" in said


def test_a_busy_processor_is_said(
    crowd: Path, sayings: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uncrowd.runs.notes.busy_now", lambda device: f"NOTE: the {device} is busy")
    assert "NOTE: the cpu is busy" in sayings(crowd, tiny_experiment())


def test_random_initialisation_is_said(crowd: Path, sayings: Callable[..., list[str]]) -> None:
    assert any("RANDOM initialisation" in line for line in sayings(crowd, tiny_experiment()))


def test_a_gpu_without_our_kernels_is_said_and_kept_in_the_facts(
    tiny: Callable[..., Experiment], crowd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check is replaced, because a CPU has no such kernels."""
    monkeypatch.setattr("uncrowd.runs.notes.lacking_for_kernels", lambda device: "a C compiler")
    said: list[str] = []
    begin(Run(experiment=tiny(epochs=1), data=str(crowd)), tmp_path / "run", device="cpu", say=said.append)
    (note,) = [line for line in said if line.startswith("NOTE: a C")]
    assert note == "NOTE: a C compiler is missing here, so the GPU runs without uncrowd's own kernels, more slowly."
    assert "without uncrowd&#39;s own: a C compiler is missing" in (tmp_path / "run" / "report.html").read_text()
