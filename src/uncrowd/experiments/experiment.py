"""A complete run as data: nothing about it is written anywhere else."""

from dataclasses import dataclass, field

from uncrowd.data.transforms import ResizeConfig, TrainTransformConfig
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train import TrainConfig
from uncrowd.losses.matcher import LossWeights
from uncrowd.models.sparse_rcnn import SparseRCNNConfig


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What to train and how; the data comes from the user. `model.num_classes` becomes what the data has."""

    name: str
    model: SparseRCNNConfig = field(default_factory=SparseRCNNConfig)
    augment: TrainTransformConfig = field(default_factory=TrainTransformConfig)
    resize: ResizeConfig = field(default_factory=ResizeConfig)
    loss: LossWeights = field(default_factory=LossWeights)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
