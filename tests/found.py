"""A detector with random weights, and a dataset whose ground truth is what it finds."""

import json
from pathlib import Path

import torch
from PIL import Image

import uncrowd
from tests.inference.cases import random_image
from tests.tiny import TINY_MODEL
from uncrowd.data.transforms import ResizeConfig
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.structures import Categories
from uncrowd.thresholds import ScoreThresholds
from uncrowd.weights.file import save_weights

NAMES = ("person", "dog", "ball")
HEIGHT, WIDTH = 64, 96


def save_random(file: Path) -> None:
    """Writes the detector. Its thresholds are .4 for F1 and .35 for counts."""
    torch.manual_seed(0)
    thresholds = ScoreThresholds(f1=dict.fromkeys(NAMES, 0.4), count=dict.fromkeys(NAMES, 0.35))
    resize = ResizeConfig(short_side=HEIGHT, max_size=WIDTH)
    categories = Categories(ids=(1, 2, 3), names=NAMES)
    save_weights(file, SparseRCNN(TINY_MODEL), categories, resize, thresholds)


def write_found(folder: Path, weights: Path, *splits: str) -> None:
    """Writes a COCO folder of two images a split: the best four detections of each are its ground truth."""
    predictor = uncrowd.load(weights, "cpu")
    for number, split in enumerate(splits):
        records, images = [], []
        for id in (2 * number + 1, 2 * number + 2):
            image = random_image(HEIGHT, WIDTH, seed=id)
            images.append({"id": id, "file_name": f"{id}.png", "width": WIDTH, "height": HEIGHT})
            Image.fromarray(image).save(folder / f"{id}.png")
            for record in predictor.predict(image)[:4].to_coco(id):
                _, _, width, height = record["bbox"]
                records.append({**record, "id": len(records) + 1, "area": width * height, "iscrowd": 0})
        categories = [{"id": id, "name": name} for id, name in enumerate(NAMES, start=1)]
        content = {"images": images, "annotations": records, "categories": categories}
        (folder / f"instances_{split}.json").write_text(json.dumps(content))
