"""What a run does after an epoch: scores the model and saves its weights and detections."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.results.coco import write_coco_results
from uncrowd.engine.log import RunLog
from uncrowd.evaluation.build import build_evaluator
from uncrowd.evaluation.coco import limits_up_to
from uncrowd.evaluation.counting import counting_errors
from uncrowd.evaluation.operating_points import best_thresholds
from uncrowd.evaluation.protocol import Scores
from uncrowd.inference.evaluate import Detected, detect
from uncrowd.inference.predictor import Predictor
from uncrowd.inference.tiles import TilesConfig, number_of_views
from uncrowd.models.detector import Detector
from uncrowd.paper.expected import beside_paper
from uncrowd.ranks import Ranks
from uncrowd.recipes.experiment import Experiment
from uncrowd.report.page import write_report
from uncrowd.thresholds import ScoreThresholds
from uncrowd.weights.file import save_weights
from uncrowd.words import counted, listed


class Scoring:
    """Scores the model on the validation set as `eval` does, and saves the weights of the best epoch.

    A model that learns from tiles is scored in tiles of the same size, in which objects are as large.
    start_from: the weights that the run began with, if any. facts: the model and its data in words, for the report.
    Only rank 0 writes and prints.
    """

    def __init__(
        self,
        experiment: Experiment,
        start_from: str | None,
        dataset: DetectionDataset,
        accelerator: Accelerator,
        folder: Path,
        facts: Mapping[str, str],
        log: RunLog | None,
    ):
        self.experiment, self.start_from = experiment, start_from
        self.dataset, self.accelerator = dataset, accelerator
        self.folder, self.facts, self.log = folder, facts, log
        assert experiment.protocol is not None, "a run chooses it before it begins"
        tile = experiment.augment.tile
        self.tiles = None if tile is None else TilesConfig.of_side(tile)
        self.evaluator = build_evaluator(experiment.protocol, limits_up_to(self._most_of_an_image()))
        self._last: tuple[Detected, Scores, int] | None = None

    def _most_of_an_image(self) -> int:
        """Returns the most detections that an image can have, so that scores have the same names in each epoch."""
        proposals = self.experiment.model.proposals
        if self.tiles is None:
            return proposals
        sizes = set(map(tuple, self.dataset.sizes.tolist()))
        return proposals * max(number_of_views(size, self.tiles) for size in sizes)

    def evaluate(self, model: nn.Module, epoch: int, step: int) -> float | None:
        """Logs all scores and returns the headline score."""
        settings = self.experiment.train
        categories = self.dataset.categories
        predictor = Predictor(
            _bare(model),
            categories,
            self.experiment.resize,
            self.accelerator.device,
            max_pixels=settings.max_pixels,
            tiles=self.tiles,
        )
        detected = detect(
            predictor,
            self.dataset,
            batch_size=settings.per_rank(self.accelerator.num_processes) // settings.accumulate,
            workers=settings.workers,
            ranks=Ranks(self.accelerator.process_index, self.accelerator.num_processes),
        )
        scores = self.evaluator.evaluate(self.dataset, detected.detections, categories)
        if self.log is not None:
            self._record(self.log, detected, scores, epoch, step)
        self._last = detected, scores, step
        return scores.main

    def improved(self, model: nn.Module) -> None:
        """Saves the weights to deploy."""
        self._save(model, "best.safetensors")

    def finished(self, model: nn.Module) -> None:
        """Saves the weights of the last epoch, logs their errors of counts, and writes the report.

        What the paper expects of them is said too.
        """
        thresholds = self._save(model, "weights.safetensors")
        assert self._last is not None, "the last epoch is always scored"
        if self.log is not None:
            detected, scores, step = self._last
            if thresholds is not None:
                categories = self.dataset.categories
                counting = counting_errors(self.dataset, detected.detections, categories, thresholds.count)
                self.log.write("counts", step, asdict(counting.overall))
                chosen = f"chosen on {self.dataset.split} and kept in the weights"
                self.log.say(f"score thresholds, {chosen}: {thresholds.in_words()}")
            compared = beside_paper(self.experiment, scores, len(self.dataset), self.start_from)
            if compared is not None:
                self.log.say(compared)
            limit = self.experiment.train.max_pixels
            write_report(self.folder, self.dataset, detected.detections, scores, self.facts, limit)

    def _save(self, model: nn.Module, name: str) -> ScoreThresholds | None:
        """Saves the model that was just scored, and returns the thresholds that were best for it."""
        if not self.accelerator.is_main_process:
            return None
        assert self._last is not None, "weights are saved after an evaluation"
        categories = self.dataset.categories
        thresholds = best_thresholds(self.dataset, self._last[0].detections, categories)
        save_weights(self.folder / name, _bare(model), categories, self.experiment.resize, thresholds)
        return thresholds

    def _record(self, log: RunLog, detected: Detected, scores: Scores, epoch: int, step: int) -> None:
        if detected.unreadable and self._last is None:
            many = counted(len(detected.unreadable), "image")
            log.say(f"{many} to score on cannot be read and count as empty:{listed(detected.unreadable, 10)}")
        values: dict[str, Any] = {"epoch": epoch, **scores.values, "per_class": scores.per_class}
        log.write("eval", step, values)
        images = f"{counted(len(self.dataset), 'image')} ({self.dataset.split})"
        log.say(f"after epoch {epoch}, on {images}:\n{scores.table()}")
        write_coco_results(self.folder / "detections.json", detected.detections)


def _bare(model: nn.Module) -> Detector:
    assert isinstance(model, Detector)
    return model
