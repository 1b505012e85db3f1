"""`uncrowd demo`: draws crowded scenes, trains on them, scores the detector and writes a report."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image

from uncrowd.cli.flags import OptionalDevice, parse, require_device
from uncrowd.cli.train import exit_status
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.images.read import read_image
from uncrowd.data.synthetic.scenes import SceneConfig, mean_best_iou, write_dataset
from uncrowd.errors import InputError
from uncrowd.evaluation.coco import CocoEvaluator
from uncrowd.evaluation.protocol import Scores
from uncrowd.inference.evaluate import detect
from uncrowd.inference.load import load
from uncrowd.inference.predictor import Predictor
from uncrowd.models.build import build_detector
from uncrowd.recipes.demo import demo, short_demo
from uncrowd.recipes.experiment import Experiment
from uncrowd.runs.train import train
from uncrowd.visualize.draw import draw_detections, side_by_side

TRAIN_IMAGES, TEST_IMAGES, SHORT_IMAGES = 400, 60, 40
SHOWN = 6
THRESHOLD = 0.4


@dataclass(frozen=True, kw_only=True)
class DemoArguments:
    """Draw a crowd, train the full method on it, score it before and after, and detect objects in unseen scenes."""

    # Folder for the data, the run and the images; it must be new or empty.
    out: Path = Path("demo")
    # Take about a minute instead of eight. This shows that everything works; the detector learns little.
    short: bool = False
    # Device to compute on: cpu, cuda, cuda:1 (the second GPU) or mps (the GPU of a Mac). By default a GPU if there is
    # one, else the CPU.
    device: OptionalDevice = None


def main(argv: Sequence[str]) -> int:
    """Prints AP50 before and after, and where the report is."""
    arguments = parse(DemoArguments, argv, "uncrowd demo")
    require_device(arguments.device)
    out = arguments.out
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty; remove it, or name another folder with --out.")
    experiment = short_demo() if arguments.short else demo()
    print("1. drawing a crowd: scenes to train on, and scenes with other textures to test on")
    test = _draw(out / "data", TRAIN_IMAGES if not arguments.short else SHORT_IMAGES)

    print("2. scoring the untrained model on the test scenes")
    before = _score(_untrained(experiment, test), test)

    print("3. training: IoU-enhanced attention and dynamic channel weighting, three stages, from random values")
    run = train(out / "data", experiment, out=out / "run", device=arguments.device)
    if not run.finished:  # the run has said how to continue it
        return exit_status(run)

    print("4. scoring and detecting on the test scenes")
    predictor = load(out / "run", arguments.device)
    after = _score(predictor, test)
    _show(predictor, test, out / "detections")

    print(f"\nAP50 before training {_share(before)}, after {_share(after)}")
    print(f"report:   {out / 'run' / 'report.html'}")
    print(f"images:   {out / 'detections'}")
    return 0


def _draw(folder: Path, images: int) -> DetectionDataset:
    """Writes a training and a test split as a COCO dataset and returns the test split."""
    scenes = SceneConfig(size=(128, 160), objects=(8, 14), overlap=0.3, textures=0)
    write_dataset(folder, "train", scenes, images, seed=0)
    write_dataset(folder, "val", replace(scenes, textures=1), min(images, TEST_IMAGES), seed=1)
    splits = open_dataset(folder)
    print(splits.describe())
    test = splits.val
    assert test is not None
    crowding = mean_best_iou([sample.boxes for sample in test])
    print(
        f"test scenes: {len(test.boxes) / len(test):.1f} objects each, mean IoU with the closest other {crowding:.2f}"
    )
    return test


def _untrained(experiment: Experiment, dataset: DetectionDataset) -> Predictor:
    torch.manual_seed(experiment.train.seed)
    model = build_detector(replace(experiment.model, num_classes=len(dataset.categories)))
    return Predictor(model, dataset.categories, experiment.resize)


def _score(predictor: Predictor, dataset: DetectionDataset) -> Scores:
    detections = detect(predictor, dataset).detections
    return CocoEvaluator().evaluate(dataset, detections, dataset.categories)


def _show(predictor: Predictor, dataset: DetectionDataset, folder: Path) -> None:
    """Writes a few test scenes, each with its detections beside its ground truth."""
    folder.mkdir()
    for sample in list(dataset)[:SHOWN]:
        image = read_image(sample.path, sample.size)
        found = predictor.predict(image, threshold=THRESHOLD)
        detected = draw_detections(image, found.boxes, labels=found.labels)
        truth = draw_detections(image, sample.boxes, labels=sample.labels)
        title = f"found (score {THRESHOLD} or more)"
        Image.fromarray(side_by_side([(title, detected), ("ground truth", truth)])).save(folder / sample.path.name)


def _share(scores: Scores) -> str:
    value = scores.values["AP50"]
    assert value is not None
    return f"{value:.3f}"
