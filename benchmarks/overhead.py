"""What `uncrowd predict` takes beside the model: `python -m benchmarks.overhead` from the project's root.

Three take turns in one process of one thread: the model alone, on batches that are in memory at the size that it
wants, `uncrowd predict --json-only` and `uncrowd predict`. The two load the weights, read, resize, detect, count and
write; the last also draws and saves each image with its boxes. What counts is the time that the process computes.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
import torch
import tyro
from benchmarks.command import run
from benchmarks.ranks import write_weights
from benchmarks.record import commit, machine
from benchmarks.turns import ratios, table, take_turns, with_spread
from PIL import Image
from torch import Tensor

import uncrowd
from uncrowd.cli import main as uncrowd_command
from uncrowd.data.batches import pad
from uncrowd.data.synthetic.scenes import SceneConfig, draw_scene
from uncrowd.data.transforms import resize
from uncrowd.freed_memory import keep_freed_memory
from uncrowd.models.detector import Detector

MODEL = "the model alone"
BATCH = 4


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Time `uncrowd predict` and its model alone on drawn scenes."""

    # Weights, or the name of a detector that comes with uncrowd; by default the model of the demo with random weights.
    weights: Path | None = None
    # Least score of a detection that is drawn; by default those in the weights.
    threshold: float | None = None
    # Number of images.
    images: int = 1000
    # Height and width of each.
    size: tuple[int, int] = (240, 320)
    # Rounds that are timed.
    rounds: int = 1


def main(argv: Sequence[str]) -> int:
    """Prints the seconds of all, and how many times as long as the model alone `predict` takes."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.overhead")
    torch.set_num_threads(1)
    keep_freed_memory()  # as the command does
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        weights = arguments.weights or folder / "weights.safetensors"
        if arguments.weights is None:
            write_weights(weights)
        _draw(folder / "images", arguments)
        command = ["predict", str(weights), str(folder / "images"), "--device", "cpu", "--batch-size", str(BATCH)]
        command += [] if arguments.threshold is None else ["--threshold", str(arguments.threshold)]
        contestants: dict[str, Callable[[], object]] = {
            MODEL: _model(weights, folder / "images"),
            "predict --json-only": partial(_quietly, [*command, "--json-only", "--out", str(folder / "json")]),
            "predict": partial(_quietly, [*command, "--out", str(folder / "drawn")]),
        }
        seconds = take_turns(contestants, arguments.rounds, warm_up=0, clock=process_time)
        lines = (folder / "drawn" / "counts.csv").read_text().splitlines()[1:]
    objects = sum(int(number) for line in lines for number in line.split(",")[1:])
    print(f"{machine()}, torch {torch.__version__}, commit {commit()}")
    print(f"{arguments.images} images of {arguments.size[0]} x {arguments.size[1]}, {objects} objects counted in them")
    print(table(seconds, MODEL))
    for name in list(seconds)[1:]:
        shares = [1 / ratio for ratio in ratios(seconds[name], seconds[MODEL])]
        print(f"{name}: {with_spread(shares)} the time of the model")
    return 0


def _draw(folder: Path, arguments: Arguments) -> None:
    folder.mkdir()
    scenes = SceneConfig(size=arguments.size, objects=(8, 14))
    drawn = [draw_scene(scenes, (0, number)).image for number in range(min(arguments.images, 50))]
    for number in range(arguments.images):
        Image.fromarray(drawn[number % len(drawn)]).save(folder / f"{number:06d}.jpg")


@torch.inference_mode()
def _model(weights: Path, images: Path) -> Callable[[], object]:
    """Returns what runs the model on all images, in the batches that `predict` gives it."""
    predictor = uncrowd.load(weights, "cpu")
    model = predictor.model
    assert isinstance(model, Detector)
    resized = [resize(np.array(Image.open(file)), predictor.resize) for file in sorted(images.iterdir())]
    batches = [pad(resized[start : start + BATCH]) for start in range(0, len(resized), BATCH)]
    padded = [(model.padded(pixels), sizes) for pixels, sizes in batches]
    model.detect(*padded[0])  # the first call prepares what later ones use
    return partial(_detect, model, padded)


@torch.inference_mode()
def _detect(model: Detector, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
    for pixels, sizes in batches:
        model.detect(pixels, sizes)


def _quietly(command: Sequence[str]) -> None:
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        status = uncrowd_command([*command, "--overwrite"])
    assert status == 0, command


if __name__ == "__main__":
    run(main)
