"""Uses the core from Python, from a drawn dataset to scores.

Writes the files with which the command is then tried: `data/` (COCO), `tiny.safetensors` (random weights) and
`found.json` (the ground truth as COCO results).
"""

import json
from pathlib import Path

import torch

import uncrowd
from uncrowd.data.synthetic.scenes import SceneConfig, write_dataset
from uncrowd.data.transforms import ResizeConfig
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.weights.file import save_weights

MODEL = SparseRCNNConfig(
    num_classes=3,
    proposals=10,
    stages=2,
    backbone=BackboneConfig(name="test_efficientnet", norm="group", frozen_stages=0),
    stage=StageConfig(width=32, heads=4, dynamic_width=8, feedforward_width=64),
)


def main() -> None:
    """Raises AssertionError if a result is wrong."""
    scenes = SceneConfig(size=(64, 96), objects=(2, 4))
    write_dataset(Path("data"), "train", scenes, images=4, seed=1)
    annotations = write_dataset(Path("data"), "val", scenes, images=4, seed=0)
    dataset = uncrowd.open_dataset(Path("data")).val
    assert dataset is not None

    torch.manual_seed(0)
    preprocessing = ResizeConfig(short_side=64, max_size=96)
    save_weights(Path("tiny.safetensors"), SparseRCNN(MODEL), dataset.categories, preprocessing)
    predictor = uncrowd.load("tiny.safetensors")
    detections = predictor.predict("data/val/000001.jpg")
    assert detections.boxes.shape == (MODEL.proposals, 4)
    assert uncrowd.evaluate(predictor, dataset).main is not None

    truth = json.loads(annotations.read_text(encoding="utf-8"))["annotations"]
    kept = ("image_id", "category_id", "bbox")
    found = [{key: record[key] for key in kept} | {"score": 0.9} for record in truth]
    Path("found.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
