"""Trains torchvision's Faster R-CNN and FCOS with our engine: the same images, schedule, clipping and averaging."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from benchmarks.claims.ours import ADAMW_RATES, evaluations, fitted, small_data_1, training_seconds
from benchmarks.claims.settings import Budget, Dataset, Found, Output, Trained, Training, most_kept
from benchmarks.claims.suppression import NMS_IOUS, nms, soft_nms
from benchmarks.claims.torchvision_model import Kind, TorchvisionModel, anchor_ratios
from torch import nn

import uncrowd
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.loader import InferenceLoader, TrainLoader
from uncrowd.data.transforms import ResizeConfig
from uncrowd.engine.accelerator import build_accelerator
from uncrowd.engine.log import RunLog
from uncrowd.engine.train import Trainer
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.recipes import Experiment
from uncrowd.runs.identity import completed, identity
from uncrowd.structures import Detections, ImageId

# The IoU of NMS in the evaluations before the last; the validation split chooses one for the last.
USUAL_IOU = 0.5


@dataclass(frozen=True, kw_only=True)
class TorchvisionDetector:
    """A detector of torchvision on the backbone and the pyramid of a recipe, trained as the recipe says.

    learning_rate: in place of the recipe's; None if the validation split has to choose it.
    """

    kind: Kind
    recipe: Experiment = field(default_factory=small_data_1)
    learning_rate: float | None = None

    @property
    def name(self) -> str:
        """The detector in a word, such as faster-rcnn-1."""
        return f"{self.kind}-1"

    @property
    def rates(self) -> tuple[float, ...]:
        """Those that are tried with every detector that AdamW trains."""
        return ADAMW_RATES

    def with_rate(self, learning_rate: float) -> "TorchvisionDetector":
        """Returns the detector with this learning rate."""
        return replace(self, learning_rate=learning_rate)

    def experiment(self, dataset: Dataset, budget: Budget, seed: int) -> Experiment:
        """Returns the settings of training; those of its model that count are the backbone and the width."""
        assert self.learning_rate is not None, "validation chooses it first"
        recipe = fitted(self.recipe, dataset, budget, seed)
        return replace(recipe, name=self.name, optim=replace(recipe.optim, learning_rate=self.learning_rate))

    def train(self, training: Training) -> Trained | None:
        """Trains to the end of the budget; returns None if SIGTERM or Ctrl-C stopped it."""
        experiment = self.experiment(training.dataset, training.budget, training.seed)
        trainer = self._trainer(training, experiment)
        if trainer.checkpoint.is_file():
            trainer.resume(completed=completed)
        find = partial(_candidates, resize=experiment.resize, device=trainer.accelerator.device)
        log = RunLog(training.folder, start_step=trainer.global_step, evaluates_again=trainer.awaits_evaluation)
        most = most_kept(training.dataset)
        try:
            if not trainer.train(log, _Scoring(training.val, find, most, log)):
                return None
        finally:
            log.close()
        return Trained(
            seconds=training_seconds(training.folder, training.budget.batch),
            evaluations=evaluations(training.folder, training.budget.batch),
            outputs=_outputs(partial(find, trainer.learner.evaluated_model), training.val, most),
        )

    def _trainer(self, training: Training, experiment: Experiment) -> Trainer:
        accelerator, yardstick = build_accelerator(training.device), experiment.model
        assert isinstance(yardstick, SparseRCNNConfig)
        training.folder.mkdir(parents=True, exist_ok=True)
        loader = TrainLoader(
            training.train, experiment.augment, seed=training.seed, batch_size=experiment.train.batch_size
        )
        torch.manual_seed(training.seed)
        classes, ratios = len(training.train.categories), anchor_ratios(training.train)
        most = training.dataset.most
        model = TorchvisionModel(self.kind, yardstick, classes, ratios, accelerator.device, most=most)
        return Trainer(
            model,
            model.losses,
            loader,
            experiment.train,
            experiment.optim,
            accelerator,
            training.folder / "last.safetensors",
            {"kind": self.kind, **identity(experiment, training.train, training.val)},
        )


class _Scoring:
    """What the engine does at evaluations: it logs the scores on the validation split."""

    def __init__(
        self,
        val: DetectionDataset,
        find: Callable[[nn.Module, DetectionDataset], dict[ImageId, Detections]],
        most: int,
        log: RunLog,
    ):
        self.val, self.find, self.most, self.log = val, find, most, log

    def evaluate(self, model: nn.Module, epoch: int, step: int) -> float | None:
        """Returns AP with the usual NMS."""
        found = {id: nms(each, iou=USUAL_IOU, most=self.most) for id, each in self.find(model, self.val).items()}
        scores = uncrowd.evaluate(found, self.val, protocol="coco")
        self.log.write("eval", step, {"epoch": epoch, **scores.values})
        self.log.say(f"after epoch {epoch}: AP {scores.values['AP']:.3f}, AP50 {scores.values['AP50']:.3f}")
        return scores.main

    def improved(self, model: nn.Module) -> None:
        """Does nothing, because the last weights are the ones that count."""

    def finished(self, model: nn.Module) -> None:
        """Does nothing: the checkpoint has them."""


def _candidates(
    model: nn.Module, dataset: DetectionDataset, *, resize: ResizeConfig, device: torch.device
) -> dict[ImageId, Detections]:
    """Returns what a model finds in each image before NMS."""
    assert isinstance(model, TorchvisionModel)
    loader = InferenceLoader(dataset, resize, multiple=model.multiple, batch_size=8)
    found: dict[ImageId, Detections] = {}
    for batch in loader:
        found |= dict(zip(batch.ids, model.candidates(batch, dataset.categories, device), strict=True))
    return found


def _outputs(
    find: Callable[[DetectionDataset], dict[ImageId, Detections]], val: DetectionDataset, most: int
) -> list[Output]:
    """Returns NMS at the IoU that is best on the validation split, and Soft-NMS."""
    candidates = find(val)

    def output(name: str, suppress: Callable[[Detections], Detections]) -> Output:
        def all_of(found: dict[ImageId, Detections]) -> Found:
            return {id: suppress(each) for id, each in found.items()}

        return Output(name=name, val=all_of(candidates), detect=lambda dataset: all_of(find(dataset)))

    def ap(output: Output) -> float:
        return uncrowd.evaluate(output.val, val, protocol="coco").main or 0

    hard = [output(f"nms-{iou:g}", partial(nms, iou=iou, most=most)) for iou in NMS_IOUS]
    return [max(hard, key=ap), output("soft-nms", partial(soft_nms, most=most))]
