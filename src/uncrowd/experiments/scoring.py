"""What a run does when an epoch is over: scores, and keeps what is worth keeping."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from uncrowd import config
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.results import write_coco_results
from uncrowd.engine.evaluate import Detected, detect
from uncrowd.engine.log import RunLog
from uncrowd.engine.report import write_report
from uncrowd.evaluation.coco import CocoEvaluator
from uncrowd.evaluation.protocol import Scores
from uncrowd.experiments.experiment import Experiment
from uncrowd.inference.predictor import Predictor
from uncrowd.models.detector import Detector
from uncrowd.models.weights import save_weights


class Scoring:
    """Scores the model on the validation set through the same path as `eval` and `predict`, and keeps the best.

    facts: what was trained on what, in words, for the report. Only rank 0 writes and speaks.
    """

    def __init__(
        self,
        experiment: Experiment,
        dataset: DetectionDataset,
        accelerator: Accelerator,
        folder: Path,
        facts: Mapping[str, str],
        log: RunLog | None,
    ):
        self.experiment, self.dataset, self.accelerator = experiment, dataset, accelerator
        self.folder, self.facts, self.log = folder, facts, log
        self.evaluator = CocoEvaluator()
        self._last: tuple[Detected, Scores] | None = None

    def evaluate(self, model: nn.Module, epoch: int, step: int) -> float | None:
        """Logs all scores and returns the headline."""
        settings = self.experiment.train
        categories = self.dataset.categories
        predictor = Predictor(_bare(model), categories, self.experiment.resize, self.accelerator.device)
        detected = detect(
            predictor,
            self.dataset,
            batch_size=settings.per_rank(self.accelerator.num_processes) // settings.accumulate,
            workers=settings.workers,
            accelerator=self.accelerator,
        )
        scores = self.evaluator.evaluate(self.dataset, detected.detections, categories)
        if self.log is not None:
            self._record(self.log, detected, scores, epoch, step)
        self._last = detected, scores
        return scores.main

    def improved(self, model: nn.Module, epoch: int, step: int) -> None:
        """Keeps the deployable weights."""
        self._save(model, "best.safetensors")

    def finished(self, model: nn.Module) -> None:
        """Writes the deployable weights of the last epoch and the report."""
        self._save(model, "weights.safetensors")
        assert self._last is not None, "the last epoch is always scored"
        if self.log is not None:
            detected, scores = self._last
            write_report(self.folder, self.dataset, detected.detections, scores, self.facts)

    def _save(self, model: nn.Module, name: str) -> None:
        if self.accelerator.is_main_process:
            preprocessing = config.to_dict(self.experiment.resize)
            save_weights(self.folder / name, _bare(model), self.dataset.categories, preprocessing)

    def _record(self, log: RunLog, detected: Detected, scores: Scores, epoch: int, step: int) -> None:
        if detected.unreadable and self._last is None:
            shown = ", ".join(map(str, detected.unreadable[:10]))
            log.say(f"{len(detected.unreadable)} pictures to score on cannot be read and count as empty: {shown}")
        values: dict[str, Any] = {"epoch": epoch, **scores.values, "per_class": scores.per_class}
        log.write("eval", step, values)
        log.say(f"after epoch {epoch}, on {len(self.dataset)} pictures ({self.dataset.split}):\n{scores.table()}")
        write_coco_results(self.folder / "detections.json", detected.detections)


def _bare(model: nn.Module) -> Detector:
    assert isinstance(model, Detector)
    return model
