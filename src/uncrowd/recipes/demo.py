"""The run of `uncrowd demo`: the full method, small enough to learn crowds on two CPU cores in minutes."""

from dataclasses import replace

from uncrowd.data.transforms import ResizeConfig, TrainTransformConfig
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train_config import TrainConfig
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.recipes.experiment import Experiment


def demo() -> Experiment:
    """IoU-ESA and DCW in 3 stages of width 64 on a ResNet-10, for scenes of 128 x 160 pixels."""
    return Experiment(
        name="demo",
        model=SparseRCNNConfig(
            proposals=40,
            stages=3,
            backbone=BackboneConfig(name="resnet10t", norm="group", frozen_stages=0),
            stage=StageConfig(width=64, heads=4, dynamic_width=16, feedforward_width=256),
        ),
        augment=TrainTransformConfig(short_sides=(112, 128, 144), max_size=200),
        resize=ResizeConfig(short_side=128, max_size=200),
        optim=OptimConfig(learning_rate=5e-4, warmup_steps=50, milestones=(10,)),
        train=TrainConfig(epochs=12, batch_size=8, evaluate_every=4, workers=0),
    )


def short_demo() -> Experiment:
    """The same in a minute: it shows that everything works, but learns little."""
    whole = demo()
    return replace(
        whole,
        optim=replace(whole.optim, milestones=()),
        train=replace(whole.train, epochs=2, evaluate_every=2),
    )
