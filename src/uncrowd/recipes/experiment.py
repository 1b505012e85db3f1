"""A complete run as data: no setting of it is written anywhere else."""

from dataclasses import dataclass, field

from uncrowd.data.transforms import ResizeConfig, TrainTransformConfig
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train_config import TrainConfig
from uncrowd.errors import InputError
from uncrowd.losses.classification import AnyClassConfig, CrossEntropyConfig, FocalConfig
from uncrowd.losses.criterion import SetCriterion
from uncrowd.losses.dense import DenseLossConfig
from uncrowd.losses.dense_criterion import DenseCriterion
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.build import AnyDetectorConfig
from uncrowd.models.class_scores import ScoreKind
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.structures import ScoreProtocol

# How a detector scores its classes -> the class loss that trains it.
CLASS_LOSS: dict[ScoreKind, type[AnyClassConfig]] = {"sigmoid": FocalConfig, "softmax": CrossEntropyConfig}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What to train and how. The user gives the data, which sets `model.num_classes`."""

    # Name of the run. The paper's numbers appear beside its scores only if a recipe of the paper has this name.
    name: str
    # Protocol that scores detections: COCO's, or CrowdHuman's for a single class. None chooses by the format of the
    # data: CrowdHuman's for odgt, COCO's for all others.
    protocol: ScoreProtocol | None = None
    # The detector.
    model: AnyDetectorConfig = field(default_factory=SparseRCNNConfig)
    # Augmentation of training images.
    augment: TrainTransformConfig = field(default_factory=TrainTransformConfig)
    # Size of images in evaluation and inference.
    resize: ResizeConfig = field(default_factory=ResizeConfig)
    # Matching cost and loss.
    loss: LossConfig = field(default_factory=LossConfig)
    # Loss of the dense head, where queries are not merely learned.
    dense_loss: DenseLossConfig = field(default_factory=DenseLossConfig)
    # Optimiser and its schedule.
    optim: OptimConfig = field(default_factory=OptimConfig)
    # Length of training and size of a batch.
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        """Raises InputError if the class loss interprets the detector's logits differently from its scores."""
        wanted = CLASS_LOSS[self.model.scores]
        if not isinstance(self.loss.classes, wanted):
            raise InputError(
                f"{self.name} compares the classes of a {type(self.model).__name__} with a "
                f"{type(self.loss.classes).__name__}; give its loss a {wanted.__name__}."
            )

    def criterion(self) -> SetCriterion | DenseCriterion:
        """Returns the training objective that fits the outputs of the detector."""
        if isinstance(self.model, SparseRCNNConfig) and self.model.has_dense_head:
            return DenseCriterion(self.loss, self.dense_loss)
        return SetCriterion(self.loss)
