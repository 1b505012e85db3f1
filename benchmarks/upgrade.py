"""Measures what an upgraded Sparse R-CNN keeps: `python -m benchmarks.upgrade` from the project's root, in minutes.

Trains a small Sparse R-CNN on drawn scenes and upgrades it to IoU-ESA and DCW. Compares both with a model whose head is
newly initialised: first their outputs stage by stage, then their scores.
"""

import tempfile
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from benchmarks.command import run
from torch import Tensor

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.loader import InferenceLoader
from uncrowd.data.synthetic.scenes import SceneConfig, write_dataset
from uncrowd.data.transforms import ResizeConfig, TrainTransformConfig
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train_config import TrainConfig
from uncrowd.evaluation.coco import CocoEvaluator
from uncrowd.inference.evaluate import detect
from uncrowd.inference.predictor import Predictor
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import Stage, StageConfig
from uncrowd.recipes.experiment import Experiment
from uncrowd.runs.run import Run, begin
from uncrowd.weights.file import Weights, load_weights
from uncrowd.weights.upgrade import upgrade

SCENES = SceneConfig(size=(64, 96), objects=(2, 4), overlap=0.1)
BASELINE = Experiment(
    name="upgrade",
    model=SparseRCNNConfig(
        proposals=20,
        stages=4,
        backbone=BackboneConfig(name="test_efficientnet", norm="group", frozen_stages=0),
        stage=StageConfig(
            attention="content", interaction="entangled", width=64, heads=4, dynamic_width=16, feedforward_width=128
        ),
    ),
    augment=TrainTransformConfig(short_sides=(56, 64), max_size=96),
    resize=ResizeConfig(short_side=64, max_size=96),
    optim=OptimConfig(learning_rate=5e-4, warmup_steps=50, milestones=(20.0,)),
    train=TrainConfig(epochs=25, batch_size=8, workers=0, log_every=100, evaluate_every=25, ema_decay=0.99),
)


def main(argv: Sequence[str]) -> int:
    """Prints both comparisons. `argv` may hold a number of epochs, for a quick trial."""
    torch.set_num_threads(1)
    epochs = int(argv[0]) if argv else BASELINE.train.epochs
    experiment = replace(BASELINE, train=replace(BASELINE.train, epochs=epochs, evaluate_every=epochs))
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "data", Path(folder) / "run"
        write_dataset(data, "train", SCENES, images=200, seed=0)
        write_dataset(data, "val", SCENES, images=50, seed=1)
        begin(Run(experiment=experiment, data=str(data)), run, device="cpu", say=lambda _: None)
        val = open_dataset(data).val
        assert val is not None
        compare(load_weights(run), val)
    return 0


def compare(trained: Weights, val: DetectionDataset) -> None:
    """Prints how far the outputs of each model are from those of the trained one, and the scores of all."""
    old = trained.model
    assert isinstance(old, SparseRCNN)
    resize = trained.preprocessing
    upgraded = upgrade(old)
    old_attention = deepcopy(upgraded)
    for stage, before in zip(old_attention.head.stages, old.head.stages, strict=True):
        assert isinstance(stage, Stage)
        assert isinstance(before, Stage)
        stage.attention = before.attention
    torch.manual_seed(0)
    fresh = SparseRCNN(upgraded.config).eval()
    kept = {name: tensor for name, tensor in old.state_dict().items() if not name.startswith("head.")}
    fresh.load_state_dict(kept, strict=False)
    others = {"upgraded": upgraded, "... with the old attention": old_attention, "new head": fresh}

    loader = InferenceLoader(val.subset(range(16)), resize, multiple=old.multiple, batch_size=16)
    batch = next(iter(loader))
    print("norm of the error over the spread of the old output, stage by stage:")
    with torch.inference_mode():
        expected = old(batch.images, batch.sizes)
        for name, model in others.items():
            got = model(batch.images, batch.sizes)
            for what in ("logits", "boxes"):
                errors = [_error(getattr(g, what), getattr(e, what)) for g, e in zip(got, expected, strict=True)]
                print(f"  {name:28} {what:7}" + "".join(f"{error:7.2f}" for error in errors))
    print(f"AP on {len(val)} scenes:")
    for name, model in {"before": old, **others}.items():
        found = detect(Predictor(model, trained.categories, resize), val, batch_size=10).detections
        scores = CocoEvaluator().evaluate(val, found, trained.categories)
        print(f"  {name:28} {100 * (scores.main or 0):5.1f}")


def _error(got: Tensor, expected: Tensor) -> float:
    return ((got - expected).norm() / (expected - expected.mean()).norm()).item()


if __name__ == "__main__":
    run(main)
