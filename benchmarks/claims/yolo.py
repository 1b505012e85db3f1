"""Ultralytics' YOLO26 n, trained in an environment of its own: nothing of it is imported here, because it is AGPL.

The dataset is written in YOLO's layout, `yolo_script.py` is run by that environment's Python, and the detections that
it writes as COCO results are read. Network, losses, augmentation, schedule and averaging are the library's; the number
of images seen, of images in a step and the size of the images are those of all.
"""

import json
import math
import os
import subprocess
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from benchmarks.claims.settings import Found, Output, Trained, Training, most_kept
from benchmarks.claims.suppression import NMS_IOUS

import uncrowd
from uncrowd.boxes import xyxy_to_cxcywh
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.results.file import read_detections
from uncrowd.engine.stop import StopRequest
from uncrowd.errors import InputError
from uncrowd.whole_file import whole_file

# The variable that names the folder of the environment, and the folder without it.
PLACE = "UNCROWD_YOLO"
DEFAULT_PLACE = Path.home() / ".cache" / "uncrowd" / "yolo"
SCRIPT = Path(__file__).with_name("yolo_script.py")
# The sides of its images are multiples of this.
STRIDE = 32


@dataclass(frozen=True, kw_only=True)
class Yolo:
    """YOLO26 n from random weights; its two heads are two outputs, one without NMS and one with.

    learning_rate: None if the validation split has to choose it. model: the name of the library's file.
    """

    learning_rate: float | None = None
    model: str = "yolo26n.yaml"

    @property
    def name(self) -> str:
        """The detector in a word."""
        return "yolo26n-1"

    @property
    def rates(self) -> tuple[float, ...]:
        """The one that the library takes for short runs and one class, by AdamW, and its neighbours."""
        return (1e-3, 2e-3, 4e-3)

    def with_rate(self, learning_rate: float) -> "Yolo":
        """Returns the detector with this learning rate."""
        return replace(self, learning_rate=learning_rate)

    def train(self, training: Training) -> Trained | None:
        """Trains to the end of the budget; returns None if SIGTERM or Ctrl-C stopped it.

        A stopped run goes on from the last whole epoch, as the library resumes: not to the bit. Raises InputError if
        there is no environment to run it in, or if its script fails.
        """
        folder, epochs = training.folder.absolute(), training.budget.epochs(training.dataset.train)
        every = epochs // training.budget.evaluations
        write_layout(training.train, training.val, folder / "data")
        settings = {
            "model": self.model,
            "data": str(folder / "data" / "data.yaml"),
            "learning_rate": self.learning_rate,
            "epochs": epochs,
            "evaluate_every": every,
            "batch": training.budget.batch,
            "side": _side(training),
            "seed": training.seed,
            "device": training.device or ("0" if torch.cuda.is_available() else "cpu"),
        }
        if not _run(folder, "train", settings):
            return None
        weights = [folder / f"{epoch}.pt" for epoch in range(every, epochs + 1, every)]
        evaluations: list[dict[str, Any]] = []
        for number, file in enumerate(weights, start=1):
            found = _detect(training, file, None, training.val)
            scores = uncrowd.evaluate(found, training.val, protocol="coco").values
            evaluations.append({"images": number * every * training.dataset.train, **scores})
        return Trained(
            seconds=_seconds(folder / "seconds.txt"),
            evaluations=evaluations,
            outputs=_outputs(training, weights[-1]),
        )


def environment() -> Path:
    """Returns the folder of the environment, whether it is there or not."""
    return Path(os.environ.get(PLACE, DEFAULT_PLACE))


def write_layout(train: DetectionDataset, val: DetectionDataset, folder: Path) -> None:
    """Writes both splits as the library reads them: images, and for each a text file.

    A line of it is a label and a box, as centre and size in shares of the image.
    """
    for dataset in (train, val):
        images, labels = folder / "images" / dataset.split, folder / "labels" / dataset.split
        for each in (images, labels):
            each.mkdir(parents=True, exist_ok=True)
        for number, sample in enumerate(dataset):
            link = images / f"{number:06d}{sample.path.suffix}"
            link.unlink(missing_ok=True)
            link.symlink_to(sample.path.absolute())
            height, width = sample.size
            boxes = xyxy_to_cxcywh(torch.from_numpy(sample.boxes)) / torch.tensor([width, height, width, height])
            rows = [
                f"{label} {' '.join(f'{value:.6f}' for value in box)}\n"
                for label, box, ignore in zip(sample.labels, boxes.tolist(), sample.ignore, strict=True)
                if not ignore
            ]
            (labels / f"{number:06d}.txt").write_text("".join(rows), encoding="utf-8")
    names = dict(enumerate(train.categories.names))
    content = {"path": str(folder.absolute()), "train": "images/train", "val": "images/val", "names": names}
    (folder / "data.yaml").write_text(json.dumps(content), encoding="utf-8")  # YAML reads JSON


def _seconds(file: Path) -> float:
    """Returns the seconds that all epochs took; one that was repeated after a stop counts once, as it ended."""
    rows = (line.split() for line in file.read_text(encoding="utf-8").splitlines())
    return sum({epoch: float(seconds) for epoch, seconds in rows}.values())


def _side(training: Training) -> int:
    """Returns the longest side of the images, when their short side is as long as for all detectors."""
    sizes = training.train.sizes
    longest = (sizes.max(axis=1) * training.dataset.short_side / sizes.min(axis=1)).max()
    return math.ceil(longest / STRIDE) * STRIDE


def _outputs(training: Training, weights: Path) -> list[Output]:
    """Returns the head without NMS, and the other with NMS at the IoU that is best on the validation split."""

    def output(name: str, iou: float | None) -> Output:
        detect = partial(_detect, training, weights, iou)
        return Output(name=name, val=detect(training.val), detect=detect)

    def ap(output: Output) -> float:
        return uncrowd.evaluate(output.val, training.val, protocol="coco").main or 0

    return [output("one2one", None), max((output(f"nms-{iou:g}", iou) for iou in NMS_IOUS), key=ap)]


def _detect(training: Training, weights: Path, iou: float | None, dataset: DetectionDataset) -> Found:
    """Returns what the weights find in a dataset. iou: that of NMS; None for the head without NMS."""
    file = weights.with_name(f"{dataset.split}-{weights.stem}-{iou}.json")
    settings = {
        "weights": str(weights),
        "images": [{"id": sample.id, "file": str(sample.path.absolute())} for sample in dataset],
        "category_ids": dataset.categories.ids,
        "iou": iou,
        "most": most_kept(training.dataset),
        "side": _side(training),
        "device": training.device or "cpu",
        "out": str(file),
    }
    if not file.is_file() and not _run(weights.parent, "detect", settings):
        raise InputError(f"The detection in {dataset.source} was stopped; run the line again.")
    return read_detections(file, dataset.categories, dataset.ids.tolist())


def _run(folder: Path, verb: str, settings: dict[str, Any]) -> bool:
    """Runs the script in its environment; returns False if SIGTERM or Ctrl-C stopped it."""
    python = environment() / "bin" / "python"
    if not python.exists():
        raise InputError(f"There is no {python}; make it with `python -m benchmarks.claims.yolo_env`.")
    file = folder / f"{verb}.json"
    with whole_file(file) as beside:
        beside.write_text(json.dumps(settings), encoding="utf-8")
    # Its settings stay in its own folder, and it neither installs nor fetches anything.
    own = {"YOLO_CONFIG_DIR": str(environment()), "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"}
    with StopRequest() as request:
        # -I: isolated from this project, so that neither finds a module of the other
        process = subprocess.Popen([python, "-I", SCRIPT, verb, file], env=os.environ | own)
        while process.poll() is None:
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                if request.signal is not None:
                    process.terminate()
        if request.signal is not None:
            return False
    if process.returncode:
        raise InputError(f"{SCRIPT.name} {verb} {file} failed; what it printed says why.")
    return True
