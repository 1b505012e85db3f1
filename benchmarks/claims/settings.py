"""What a run of the claims is made of: dataset, detector, budget and seed.

Dataset, recipe and budget have names that stand for all their settings; whoever changes a setting changes the name.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from uncrowd.data.synthetic.scenes import SceneConfig, write_dataset
from uncrowd.data.transforms import ResizeConfig, TrainTransformConfig
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train_config import TrainConfig
from uncrowd.errors import InputError, require_at_least
from uncrowd.losses.classification import FocalConfig
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.interaction import InteractionKind
from uncrowd.models.self_attention import AttentionKind
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.recipes import Experiment
from uncrowd.words import counted


@dataclass(frozen=True, kw_only=True)
class DrawnCrowds:
    """Drawn crowds of people: the kind of scenes, and the numbers of images to train, validate and test on.

    All have one class, because more classes would spare class-aware NMS most of its losses.
    """

    overlap: float
    size: tuple[int, int] = (128, 160)
    objects: tuple[int, int] = (8, 14)
    train: int = 400
    val: int = 100
    test: int = 600

    @property
    def name(self) -> str:
        """The dataset in a word, such as drawn-0.5."""
        return f"drawn-{self.overlap:g}"

    def write(self, parent: Path) -> Path:
        """Returns the folder of the dataset below `parent`, and draws it if it is not there.

        Several processes may draw it at once; each draws the same, and the first to finish names its folder.
        """
        folder = parent / self.name
        if folder.exists():
            return folder
        scenes = SceneConfig(size=self.size, objects=self.objects, overlap=self.overlap, classes=("person",))
        parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=parent, ignore_cleanup_errors=True) as drawing:
            whole = Path(drawing) / "whole"
            for seed, (split, images) in enumerate({"train": self.train, "val": self.val, "test": self.test}.items()):
                write_dataset(whole, split, scenes, images, seed)
            try:
                whole.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
        return folder


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long to train: so many steps of so many images, scored so many times, each time after as many steps.

    ema_decay: that of the averaged weights, which are scored.
    """

    name: str
    steps: int
    batch: int = 8
    evaluations: int = 5
    ema_decay: float = 0.998

    def __post_init__(self) -> None:
        """Raises InputError for numbers that are not positive."""
        require_at_least(1, steps=self.steps, batch=self.batch, evaluations=self.evaluations)

    def epochs(self, images: int) -> int:
        """Returns the passes through so many training images. Raises InputError if they are not whole."""
        if images % self.batch or self.steps * self.batch % images or self.steps * self.batch // images < 1:
            raise InputError(
                f"{counted(self.steps, 'step')} of {self.batch} are no whole number of passes through "
                f"{counted(images, 'image')} in whole batches; change one of the numbers."
            )
        epochs = self.steps * self.batch // images
        if epochs % self.evaluations:
            raise InputError(f"{counted(epochs, 'epoch')} cannot be cut into {self.evaluations} equal parts.")
        return epochs


SHORT = Budget(name="short", steps=1000)
LONG = Budget(name="long", steps=4000)


def small_data_1() -> Experiment:
    """The recipe for small data as it was when the claims began, at the size of one core: the yardstick.

    It is written out, so that later changes of the recipe and of defaults leave it as it is. What differs from the
    recipe makes a short run take some 17 minutes of a core: images of 128 pixels instead of 320, ResNet-10-T instead of
    ResNet-18-D, width 96 instead of 128, 40 proposals instead of 100. The learning rate is doubled. Milestones are
    shares of the run, from 0 to 1.
    """
    return Experiment(
        name="small-data-1",
        protocol="coco",
        model=SparseRCNNConfig(
            proposals=40,
            stages=4,
            backbone=BackboneConfig(name="resnet10t", pretrained=None, norm="group", frozen_stages=0, drop_path=0.0),
            stage=StageConfig(
                width=96,
                heads=4,
                dynamic_width=24,
                feedforward_width=384,
                class_tower=1,
                box_tower=3,
                pooled_size=7,
            ),
        ),
        augment=TrainTransformConfig(
            short_sides=(112, 120, 128, 136, 144),
            max_size=240,
            horizontal_flip=0.5,
            vertical_flip=0.0,
            crop=None,
            clip_boxes=True,
        ),
        resize=ResizeConfig(short_side=128, max_size=240),
        loss=LossConfig(
            classes=FocalConfig(alpha=0.25, gamma=2.0),
            class_weight=2.0,
            l1_weight=5.0,
            l1_of="corners",
            giou_weight=2.0,
            ignore_above=None,
        ),
        optim=OptimConfig(
            learning_rate=4e-4,
            backbone_factor=1.0,
            weight_decay=1e-4,
            clip_norm=1.0,
            warmup_steps=100,
            warmup_factor=0.01,
            milestones=(0.8,),
            decay=0.1,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class OurDetector:
    """One of our detectors: a recipe with another self attention and another interaction.

    recipe: its milestones are shares of the run, from 0 to 1; `train` is replaced by the budget.
    """

    attention: AttentionKind
    interaction: InteractionKind
    recipe: Experiment = field(default_factory=small_data_1)

    @property
    def name(self) -> str:
        """The detector in a word, such as small-data-1-iou-dcw."""
        return f"{self.recipe.name}-{self.attention}-{self.interaction}"

    def experiment(self, budget: Budget, images: int, seed: int) -> Experiment:
        """Returns the run of a budget on so many training images. Raises InputError as `Budget.epochs` does."""
        model, optim, epochs = self.recipe.model, self.recipe.optim, budget.epochs(images)
        assert isinstance(model, SparseRCNNConfig), "the grid is that of Sparse R-CNN"
        stage = replace(model.stage, attention=self.attention, interaction=self.interaction)
        return replace(
            self.recipe,
            name=self.name,
            model=replace(model, stage=stage),
            optim=replace(optim, milestones=tuple(share * epochs for share in optim.milestones)),
            train=TrainConfig(
                epochs=epochs,
                batch_size=budget.batch,
                ema_decay=budget.ema_decay,
                evaluate_every=epochs // budget.evaluations,
                checkpoint_every=100,
                workers=0,
                seed=seed,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Line:
    """One run of the queue, and one line of its results."""

    dataset: DrawnCrowds
    detector: OurDetector
    budget: Budget
    seed: int

    @property
    def name(self) -> str:
        """The name of the line, of its folder and of its file of detections."""
        return f"{self.dataset.name}_{self.detector.name}_{self.budget.name}_{self.seed}"

    @property
    def experiment(self) -> Experiment:
        """What is trained."""
        return self.detector.experiment(self.budget, self.dataset.train, self.seed)
