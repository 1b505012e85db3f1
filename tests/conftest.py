"""A run small enough for a test: crowded scenes of 64 x 96 pixels and a detector of 0.3 million parameters."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jaxtyping
import pytest
import torch

from uncrowd import config
from uncrowd.cli import main
from uncrowd.data.synthetic.scenes import SceneConfig, write_dataset
from uncrowd.data.transforms import ResizeConfig, TrainTransformConfig
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train import TrainConfig
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import Stage, StageConfig
from uncrowd.recipes import Experiment
from uncrowd.structures import Categories
from uncrowd.weights.file import save_weights

SCENES = SceneConfig(size=(64, 96), objects=(2, 4), overlap=0.1)
TINY_MODEL = SparseRCNNConfig(
    num_classes=3,
    proposals=10,
    stages=2,
    backbone=BackboneConfig(name="test_efficientnet", norm="group", frozen_stages=0),
    stage=StageConfig(width=32, heads=4, dynamic_width=8, feedforward_width=64),
)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """More threads only get into each other's way on images this small; and before any other fixture trains."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO dataset of 16 scenes to train on and 6 to score on."""
    folder = tmp_path_factory.mktemp("crowd")
    write_dataset(folder, "train", SCENES, images=16, seed=0)
    write_dataset(folder, "val", SCENES, images=6, seed=1)
    return folder


@pytest.fixture
def tiny() -> Callable[..., Experiment]:
    """`tiny(epochs=3)`: the experiment, with these settings of its training."""
    return tiny_experiment


def tiny_experiment(**training: Any) -> Experiment:
    """2 epochs of 4 steps of 4 images, unless `training` says otherwise."""
    settings = TrainConfig(epochs=2, batch_size=4, workers=0, log_every=1, ema_decay=0.9)
    return Experiment(
        name="tiny",
        model=TINY_MODEL,
        augment=TrainTransformConfig(short_sides=(56, 64), max_size=96),
        resize=ResizeConfig(short_side=64, max_size=96),
        optim=OptimConfig(learning_rate=1e-3, warmup_steps=2, milestones=()),
        train=replace(settings, **training),
    )


class Exported(NamedTuple):
    """A detector, and what `uncrowd export` made of its weights and said."""

    model: SparseRCNN
    categories: Categories
    resize: ResizeConfig
    weights: Path
    onnx: Path
    said: str


@contextmanager
def symbolic_shapes() -> Iterator[None]:
    """No shapes are checked meanwhile: `torch.export` has symbols in their place, which a check would fix."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Both of the paper's modules, as one ONNX file; once for all tests, as it takes half a minute.

    The boxes it starts from are of all sizes, some far out of the image.
    """
    torch.manual_seed(0)
    model = SparseRCNN(replace(TINY_MODEL, num_classes=2, proposals=16))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        for stage in model.head.stages:
            assert isinstance(stage, Stage)
            stage.box_deltas.weight.mul_(0.2)  # as training does; else boxes run away, and rounding with them
        centres, sides = torch.rand(16, 2) * 1.4 - 0.2, torch.logspace(-4, 1, 16, base=2)[:, None]
        model.proposal_boxes_cxcywh_norm.copy_(torch.cat([centres, sides, sides], dim=1))
    categories, resize = Categories(ids=(3, 17), names=("dark", "bright")), ResizeConfig(short_side=48, max_size=96)
    folder = tmp_path_factory.mktemp("exported")
    weights, onnx = folder / "weights.safetensors", folder / "deploy" / "detector.onnx"
    save_weights(weights, model, categories, config.to_dict(resize))
    with symbolic_shapes(), redirect_stdout(io.StringIO()) as said:
        assert main(["export", str(weights), str(onnx)]) == 0
    return Exported(model.eval(), categories, resize, weights, onnx, said.getvalue())
