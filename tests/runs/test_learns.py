"""The whole method learns from random values to find objects."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import uncrowd
from tests.tiny import SCENES, tiny_experiment
from uncrowd.boxes import pairwise_iou
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.synthetic.scenes import write_dataset
from uncrowd.data.transforms import TrainTransformConfig
from uncrowd.engine.metrics import read_metrics
from uncrowd.engine.optim import OptimConfig
from uncrowd.runs.run import Run, begin


@pytest.mark.usefixtures("no_report")
def test_it_learns_eight_scenes_by_heart(tmp_path: Path) -> None:
    """A mistake in boxes, labels, matching, losses, learning rate or average would show here."""
    data = tmp_path / "data"
    annotations = write_dataset(data, "train", replace(SCENES, objects=(1, 3)), images=8, seed=0)
    shutil.copytree(data / "train", data / "val")
    shutil.copy(annotations, annotations.with_name("instances_val.json"))
    experiment = replace(
        tiny_experiment(epochs=45, evaluate_every=45, log_every=15),
        augment=TrainTransformConfig(short_sides=(64,), max_size=96, horizontal_flip=0.0),
        optim=OptimConfig(learning_rate=1e-3, warmup_steps=10, milestones=(36.0,)),
    )
    assert begin(Run(experiment=experiment, data=str(data)), tmp_path / "run", device="cpu").finished

    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    losses = [row["loss"] for row in rows if row["kind"] == "train"]
    assert losses[-1] < losses[0] / 4
    (evaluated,) = (row for row in rows if row["kind"] == "eval")
    assert evaluated["AP50"] > 0.5

    predictor, dataset = uncrowd.load(tmp_path / "run", "cpu"), open_dataset(data).train
    assert dataset is not None
    first = dataset[0]
    best = predictor.predict(first.path)
    ious = pairwise_iou(best.boxes[:1], torch.tensor(first.boxes, dtype=torch.float32))
    assert ious.max() > 0.4
    assert first.labels[ious.argmax()] == best.labels[0]
    assert json.loads((tmp_path / "run" / "detections.json").read_text())
