"""A complete run as data: nothing about it is written anywhere else."""

from dataclasses import dataclass, field
from typing import Literal

from uncrowd.data.transforms import ResizeConfig, TrainTransformConfig
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train import TrainConfig
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.build import AnyDetectorConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What to train and how; the data comes from the user. `model.num_classes` becomes what the data has."""

    # What the run is called; another name than the experiment's goes without the paper's numbers beside its own.
    name: str
    # How detections are scored: as COCO does, or, one class only, as CrowdHuman does.
    protocol: Literal["coco", "crowdhuman"] = "coco"
    # The detector.
    model: AnyDetectorConfig = field(default_factory=SparseRCNNConfig)
    # What training does to pictures.
    augment: TrainTransformConfig = field(default_factory=TrainTransformConfig)
    # The size of pictures in evaluation, and wherever the weights are used.
    resize: ResizeConfig = field(default_factory=ResizeConfig)
    # The objective.
    loss: LossConfig = field(default_factory=LossConfig)
    # The optimiser and its schedule.
    optim: OptimConfig = field(default_factory=OptimConfig)
    # How long, and on how much at a time.
    train: TrainConfig = field(default_factory=TrainConfig)
