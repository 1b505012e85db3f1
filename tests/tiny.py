"""A run small enough for a test: crowded scenes of 64 x 96 pixels and a detector of 0.3 million parameters."""

from dataclasses import replace
from typing import Any

from uncrowd.data.synthetic.scenes import SceneConfig
from uncrowd.data.transforms import ResizeConfig, TrainTransformConfig
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train_config import TrainConfig
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.recipes import Experiment

SCENES = SceneConfig(size=(64, 96), objects=(2, 4), overlap=0.1)
TINY_MODEL = SparseRCNNConfig(
    num_classes=3,
    proposals=10,
    stages=2,
    backbone=BackboneConfig(name="test_efficientnet", norm="group", frozen_stages=0),
    stage=StageConfig(width=32, heads=4, dynamic_width=8, feedforward_width=64),
)


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
