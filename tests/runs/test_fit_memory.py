"""Micro-batches are found by trying, and the run that follows is the one that was asked for with so many of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.runs.same_end import assert_same_end
from tests.tiny import TINY_MODEL, tiny_experiment
from uncrowd import config
from uncrowd.data.transforms import CropConfig, TrainTransformConfig
from uncrowd.errors import InputError
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.recipes import Experiment
from uncrowd.runs.fit_memory import largest_size, largest_that_fits, memory_limit
from uncrowd.runs.run import Run, begin


@pytest.fixture
def room_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[tuple[int, Any]]]:
    """`room_for(2)` makes training run out of memory with more than 2 images; returns images and proposals of calls."""

    def limit(most: int) -> list[tuple[int, Any]]:
        calls: list[tuple[int, Any]] = []
        original = SparseRCNN.forward

        def forward(self: SparseRCNN, images: torch.Tensor, sizes: torch.Tensor, *proposals: Any, **named: Any) -> Any:
            calls.append((len(images), named.get("proposals")))
            if self.training and len(images) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return original(self, images, sizes, *proposals, **named)

        monkeypatch.setattr(SparseRCNN, "forward", forward)
        return calls

    return limit


def run_of(crowd: Path, folder: Path, experiment: Experiment, **how: Any) -> list[str]:
    said: list[str] = []
    begin(Run(experiment=experiment, data=str(crowd)), folder, device="cpu", say=said.append, **how)
    return said


@pytest.mark.usefixtures("no_report")
def test_a_run_is_the_one_with_the_micro_batches_that_were_found(
    crowd: Path, tmp_path: Path, room_for: Callable[[int], list[tuple[int, Any]]]
) -> None:
    calls = room_for(2)
    said = run_of(crowd, tmp_path / "found", tiny_experiment(epochs=1), fit_memory=True)
    assert (
        "memory: found by trying, 4 images padded to 64 x 96 pixels fit in 2 micro-batches (--train.accumulate 2)"
        in said
    )
    assert [images for images, _ in calls[:5]] == [1, 1, 2, 2, 4], "two micro-batches, with the gradients of the first"
    saved = config.load(Run, tmp_path / "found" / "config.json").experiment.train
    assert (saved.batch_size, saved.accumulate) == (4, 2)
    run_of(crowd, tmp_path / "given", tiny_experiment(epochs=1, accumulate=2))
    assert_same_end(tmp_path / "found", tmp_path / "given")


def test_dense_queries_are_tried_with_the_most_that_training_draws(
    crowd: Path, tmp_path: Path, room_for: Callable[[int], list[tuple[int, Any]]]
) -> None:
    calls = room_for(4)
    dense = replace(tiny_experiment(accumulate=2), model=replace(TINY_MODEL, queries="dense"))
    said = run_of(crowd, tmp_path / "run", dense, fit_memory=True, dry_run=True)
    assert calls[:4] == [(1, 20), (1, 20), (2, 20), (2, 20)]
    assert calls[4] == (2, None), "never more images at a time than the experiment says"
    assert any(sentence.startswith("forecast: ") for sentence in said)
    assert not (tmp_path / "run").exists()


def test_an_image_for_which_there_is_no_memory_is_refused(
    crowd: Path, tmp_path: Path, room_for: Callable[[int], list[tuple[int, Any]]]
) -> None:
    room_for(0)
    with pytest.raises(InputError, match=r"^Memory ran out in a step of a single image padded to 64 x 96 pixels; "):
        run_of(crowd, tmp_path / "run", tiny_experiment(), fit_memory=True, dry_run=True)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(None, 8), (80, 8), (79, 4), (10, 1)],
    ids=["no limit", "just enough", "too little for 8", "too little for 2"],
)
def test_under_a_limit_a_size_is_tried_if_memory_in_proportion_is_there(limit: int | None, expected: int) -> None:
    taken = [0]

    def peak() -> int | None:
        return 10 * taken[-1]

    assert largest_that_fits([1, 2, 4, 8], taken.append, peak, limit) == expected
    assert taken[-1] == expected, "nothing larger was tried"


def test_an_error_that_is_not_about_memory_passes() -> None:
    def fail(images: int) -> None:
        raise RuntimeError(f"{images} images are wrong")

    with pytest.raises(RuntimeError, match="1 images are wrong"):
        largest_that_fits([1, 2], fail, lambda: None, None)


def test_the_limit_is_that_of_the_container_if_it_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "memory.max"
    monkeypatch.setattr("uncrowd.runs.fit_memory._CONTAINER_LIMIT", file)
    assert memory_limit() > 2**20
    file.write_text("max\n")
    assert memory_limit() > 2**20
    file.write_text("1048576\n")
    assert memory_limit() == 2**20


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (200, 100)),
        ({"max_size": 150}, (150, 100)),
        ({"tile": 50}, (100, 100)),
        ({"crop": CropConfig(sides=(10, 40))}, (400, 400)),
    ],
)
def test_the_largest_size_is_the_tallest_by_the_widest(settings: dict[str, Any], expected: tuple[int, int]) -> None:
    sizes = np.array([[50, 50], [100, 50], [60, 60]])
    augmentation = TrainTransformConfig(**({"short_sides": (60, 100), "max_size": 1000} | settings))
    assert largest_size(sizes, augmentation) == expected
