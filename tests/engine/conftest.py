"""A trainer on the tiny crowd, and what it tells of its events."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import TINY_MODEL, tiny_experiment
from uncrowd.data.formats.open import open_splits
from uncrowd.data.loader import TrainLoader
from uncrowd.engine.accelerator import build_accelerator
from uncrowd.engine.train import Trainer
from uncrowd.losses.criterion import SetCriterion
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.structures import Batch


class Told:
    """Events that note what they are told, and give the scores of a list, one an evaluation."""

    def __init__(self, scores: list[float | None] | None = None):
        self.scores = iter(scores or [])
        self.events: list[tuple[str, int]] = []

    def evaluate(self, model: nn.Module, epoch: int, step: int) -> float | None:
        self.events.append(("evaluate", epoch))
        return next(self.scores, None)

    def improved(self, model: nn.Module, epoch: int, step: int) -> None:
        self.events.append(("improved", epoch))

    def finished(self, model: nn.Module) -> None:
        self.events.append(("finished", 0))


@pytest.fixture
def build(crowd: Path, tmp_path: Path) -> Callable[..., Trainer]:
    """`build(accumulate=2)`: a fresh trainer with these settings; always the same model and data."""

    def build_trainer(**training: Any) -> Trainer:
        experiment = tiny_experiment(**training)
        dataset = open_splits(crowd).train
        assert dataset is not None
        torch.manual_seed(0)
        model = SparseRCNN(TINY_MODEL)
        loader = TrainLoader(dataset, experiment.augment, seed=0, batch_size=experiment.train.batch_size)
        facts = {"configuration": {"epochs": experiment.train.epochs, "mean": (1.0, 2.0)}}
        return Trainer(
            model,
            SetCriterion(experiment.loss),
            loader,
            experiment.train,
            experiment.optim,
            build_accelerator("cpu"),
            tmp_path / "last.safetensors",
            facts,
        )

    return build_trainer


@pytest.fixture
def batches(build: Callable[..., Trainer]) -> Iterator[Batch]:
    """The batches of the first epoch."""
    return build().loader.epoch(0)
