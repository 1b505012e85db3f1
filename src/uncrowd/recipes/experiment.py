"""A complete run as data: nothing about it is written anywhere else."""

from dataclasses import dataclass, field

from uncrowd.data.transforms import ResizeConfig, TrainTransformConfig
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train_config import TrainConfig
from uncrowd.errors import InputError
from uncrowd.losses.classification import CrossEntropyConfig, FocalConfig
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.build import AnyDetectorConfig
from uncrowd.models.detr import DETRConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.structures import ScoreProtocol


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What to train and how; the data comes from the user. `model.num_classes` becomes what the data has."""

    # What the run is called; another name than the experiment's goes without the paper's numbers beside its own.
    name: str
    # How detections are scored: as COCO does, or, one class only, as CrowdHuman does. None leaves it to the format of
    # the data: CrowdHuman's for odgt, COCO's for others.
    protocol: ScoreProtocol | None = None
    # The detector.
    model: AnyDetectorConfig = field(default_factory=SparseRCNNConfig)
    # What training does to images.
    augment: TrainTransformConfig = field(default_factory=TrainTransformConfig)
    # The size of images in evaluation, and wherever the weights are used.
    resize: ResizeConfig = field(default_factory=ResizeConfig)
    # The objective.
    loss: LossConfig = field(default_factory=LossConfig)
    # The optimiser and its schedule.
    optim: OptimConfig = field(default_factory=OptimConfig)
    # How long, and on how much at a time.
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        """Raises InputError where the detector's last logit means something else than the objective takes it for."""
        with_no_object = isinstance(self.model, DETRConfig)
        if with_no_object != isinstance(self.loss.classes, CrossEntropyConfig):
            wanted = CrossEntropyConfig if with_no_object else FocalConfig
            raise InputError(
                f"{self.name} compares the classes of a {type(self.model).__name__} with a "
                f"{type(self.loss.classes).__name__}; give its loss a {wanted.__name__}."
            )
