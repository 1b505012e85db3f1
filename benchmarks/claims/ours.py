"""Our detectors: the recipe for small data as it was when the claims began, and the grid of the paper's modules."""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.claims.settings import Budget, Dataset, Found, Output, Trained, Training

import uncrowd
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.results.file import read_detections
from uncrowd.data.transforms import ResizeConfig, TrainTransformConfig
from uncrowd.engine.metrics import read_metrics, scores_in
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train_config import TrainConfig
from uncrowd.inference.evaluate import detect
from uncrowd.losses.classification import FocalConfig
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.interaction import InteractionKind
from uncrowd.models.self_attention import AttentionKind
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.recipes import Experiment

# The learning rates that are tried with every detector that AdamW trains.
ADAMW_RATES = (2e-4, 4e-4, 8e-4)


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


def small_data_1_wide() -> Experiment:
    """The yardstick with a feed-forward layer so wide that, entangled, it has as many parameters as with DCW."""
    recipe = small_data_1()
    assert isinstance(recipe.model, SparseRCNNConfig)
    stage = replace(recipe.model.stage, feedforward_width=3237)
    return replace(recipe, name="small-data-1-wide", model=replace(recipe.model, stage=stage))


def with_zero_deltas(recipe: Experiment) -> Experiment:
    """Returns the recipe with stages that begin by keeping their boxes."""
    assert isinstance(recipe.model, SparseRCNNConfig)
    stage = replace(recipe.model.stage, zero_deltas=True)
    return replace(recipe, name=f"{recipe.name}-zero", model=replace(recipe.model, stage=stage))


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
        return f"{self.recipe.name}-{self.attention}-{self.interaction}".replace("_", "-")

    @property
    def learning_rate(self) -> float:
        """That of the recipe, which is frozen."""
        return self.recipe.optim.learning_rate

    @property
    def rates(self) -> tuple[float, ...]:
        """Those that are tried with every detector that AdamW trains."""
        return ADAMW_RATES

    def with_rate(self, learning_rate: float) -> "OurDetector":
        """Returns the detector with another learning rate."""
        return replace(self, recipe=replace(self.recipe, optim=replace(self.recipe.optim, learning_rate=learning_rate)))

    def experiment(self, dataset: Dataset, budget: Budget, seed: int) -> Experiment:
        """Returns the run of a budget on a dataset. Raises InputError as `Budget.epochs` does."""
        model = self.recipe.model
        assert isinstance(model, SparseRCNNConfig), "the grid is that of Sparse R-CNN"
        stage = replace(model.stage, attention=self.attention, interaction=self.interaction)
        return replace(
            fitted(self.recipe, dataset, budget, seed),
            name=self.name,
            model=replace(model, stage=stage, proposals=max(model.proposals, 2 * dataset.most)),
        )

    def train(self, training: Training) -> Trained | None:
        """Trains as `uncrowd train` does; returns None if SIGTERM or Ctrl-C stopped it."""
        folder, batch = training.folder, training.budget.batch
        if (folder / "config.json").is_file():
            run = uncrowd.resume(folder, data=training.data, device=training.device, say=training.say)
        else:
            experiment = self.experiment(training.dataset, training.budget, training.seed)
            run = uncrowd.train(training.data, experiment, out=folder, device=training.device, say=training.say)
        if not run.finished:
            return None
        found = read_detections(folder / "detections.json", training.val.categories, training.val.ids.tolist())
        asked = None
        if training.asked is not None:
            asked = self.experiment(training.asked, training.budget, training.seed)
        return Trained(
            seconds=training_seconds(folder, batch),
            evaluations=evaluations(folder, batch),
            outputs=[Output(name="as it is", val=found, detect=partial(_detect, run.weights, training, asked))],
        )


def _detect(weights: Path, training: Training, asked: Experiment | None, dataset: DetectionDataset) -> Found:
    if asked is None:
        predictor = uncrowd.load(weights, training.device)
    else:
        proposals, short_side = asked.model.proposals, asked.resize.short_side
        predictor = uncrowd.load(weights, training.device, proposals=proposals, short_side=short_side)
    return detect(predictor, dataset, batch_size=training.budget.batch).detections


def fitted(recipe: Experiment, dataset: Dataset, budget: Budget, seed: int) -> Experiment:
    """Returns the recipe with the length of a budget and the image sizes of a dataset.

    Its sizes keep their proportions to the short side at inference. Milestones become epochs.
    """
    epochs, factor = budget.epochs(dataset.train), dataset.short_side / recipe.resize.short_side
    return replace(
        recipe,
        augment=replace(
            recipe.augment,
            short_sides=tuple(round(factor * side) for side in recipe.augment.short_sides),
            max_size=round(factor * recipe.augment.max_size),
        ),
        resize=recipe.resize.with_short_side(dataset.short_side),
        optim=replace(recipe.optim, milestones=tuple(share * epochs for share in recipe.optim.milestones)),
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


def evaluations(folder: Path, batch: int) -> list[dict[str, Any]]:
    """Returns the scores on the validation split after each evaluation, with the number of images seen until then.

    folder: that of a run of our engine.
    """
    rows = [row for row in read_metrics(folder / "metrics.jsonl") if row["kind"] == "eval"]
    return [{"images": row["step"] * batch, **scores_in(row)} for row in rows]


def training_seconds(folder: Path, batch: int) -> float:
    """Returns the seconds that all steps took, from the speed in each row of the log; evaluations do not count.

    The log keeps each row once, so the sum is that of one training, however often it was stopped.
    """
    seconds, before = 0.0, 0
    for row in read_metrics(folder / "metrics.jsonl"):
        if row["kind"] == "train":
            seconds += (row["step"] - before) * batch / row["images_per_second"]
            before = row["step"]
    return seconds
