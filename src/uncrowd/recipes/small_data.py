"""The recipe for your own data: hundreds to thousands of images, from scratch, on one GPU or a CPU."""

from uncrowd.data.transforms import ResizeConfig, TrainTransformConfig
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train_config import TrainConfig
from uncrowd.losses.classification import FocalConfig
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.recipes.experiment import Experiment


def small_data() -> Experiment:
    """The full method with a small backbone and head: ResNet-18-D with GroupNorm, 2 stages of width 128.

    The learning rate is higher and the stages are fewer and narrower than the paper's, because a run has thousands of
    steps instead of hundreds of thousands. For the same reason queries come from the image, stages begin by keeping
    their boxes, scores learn how tight a box is, and those of duplicates are lowered.
    """
    return Experiment(
        name="small-data",
        model=SparseRCNNConfig(
            proposals=100,
            queries="dense",
            lower_duplicates=3.0,
            stages=2,
            backbone=BackboneConfig(name="resnet18d", norm="group", frozen_stages=0),
            stage=StageConfig(width=128, heads=4, dynamic_width=32, feedforward_width=512, zero_deltas=True),
        ),
        augment=TrainTransformConfig(short_sides=(256, 288, 320, 352, 384), max_size=640),
        resize=ResizeConfig(short_side=320, max_size=640),
        loss=LossConfig(classes=FocalConfig(target="quality")),
        optim=OptimConfig(learning_rate=2e-4, warmup_steps=100, milestones=(48.0,)),
        train=TrainConfig(epochs=60, batch_size=8, evaluate_every=5),
    )
