"""A trainer on the tiny crowd."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny import TINY_MODEL, tiny_experiment
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.loader import TrainLoader
from uncrowd.engine.accelerator import build_accelerator
from uncrowd.engine.learner import Learner
from uncrowd.engine.train import Trainer
from uncrowd.losses.criterion import SetCriterion
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.structures import Batch


@pytest.fixture
def build(crowd: Path, tmp_path: Path) -> Callable[..., Trainer]:
    """`build(accumulate=2)` returns a new trainer with these settings, always with the same model and data."""

    def build_trainer(**training: Any) -> Trainer:
        experiment = tiny_experiment(**training)
        dataset = open_dataset(crowd).train
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
def learn(build: Callable[..., Trainer]) -> Callable[..., Learner]:
    """`learn(accumulate=2)` returns what learns in a trainer with these settings."""
    return lambda **training: build(**training).learner


@pytest.fixture
def batches(build: Callable[..., Trainer]) -> Iterator[Batch]:
    """Returns the batches of the first epoch."""
    return build().loader.epoch(0)
