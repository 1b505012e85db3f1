"""A complete run as data: nothing about it is written anywhere else."""

from dataclasses import dataclass, field

from uncrowd.data.transforms import ResizeConfig, TrainTransformConfig
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train_config import TrainConfig
from uncrowd.errors import InputError
from uncrowd.losses.classification import AnyClassConfig, CrossEntropyConfig, FocalConfig
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.build import AnyDetectorConfig
from uncrowd.models.class_scores import ScoreKind
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.structures import ScoreProtocol

# How a detector scores its classes -> the class loss that trains it.
CLASS_LOSS: dict[ScoreKind, type[AnyClassConfig]] = {"sigmoid": FocalConfig, "softmax": CrossEntropyConfig}


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
        """Raises InputError when the class loss reads the detector's logits in another way than its scores do."""
        wanted = CLASS_LOSS[self.model.scores]
        if not isinstance(self.loss.classes, wanted):
            raise InputError(
                f"{self.name} compares the classes of a {type(self.model).__name__} with a "
                f"{type(self.loss.classes).__name__}; give its loss a {wanted.__name__}."
            )
