"""Tries tiles on a very large image as a user would: `python -m benchmarks.tiles_at_scale WORK` from the root.

Drawn scenes as large as a tile lie side by side in a square image, each several times, so that the borders of tiles cut
its copies in different places. `uncrowd predict --tiles` detects in the image, and without tiles in the scenes; what is
found there, copied to the places of the scenes, is what tiles should find. Thresholds are those in the weights. The
detector has dense queries and is trained here, by default in 360 steps.

An object is found if one detection, which counts for no other, has an IoU of at least 0.5 with it. It is found twice if
another detection, which counts for none, overlaps it most of all, as much. Neighbours give both ways some of these.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro
from benchmarks.claims.datasets import made_once
from benchmarks.claims.dense import dense_1
from benchmarks.command import run
from benchmarks.record import commit, machine
from PIL import Image
from torch import Tensor
from tyro.conf import Positional

import uncrowd
from uncrowd.boxes import iou
from uncrowd.data.synthetic.scenes import SceneConfig, draw_scene, write_dataset
from uncrowd.data.transforms import ResizeConfig
from uncrowd.engine.train_config import TrainConfig
from uncrowd.errors import InputError
from uncrowd.inference.one_to_one import assign, close_pairs
from uncrowd.inference.tiles import TilesConfig, grid_of
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.recipes import Experiment

# Side of a scene and of a tile. The detector sees both at half the size.
SIDE = 500
SCENES = SceneConfig(size=(SIDE, SIDE), objects=(50, 55), overlap=0.3, scale=0.5, classes=("sports ball",))
# The detector learns from squares, cut as borders of tiles cut, of scenes with fewer objects of the same size.
LEARNT = SceneConfig(size=(250, 250), objects=(12, 14), overlap=0.3, classes=("sports ball",))
CROP = 160
# A small process between this one and the command: a process inherits the peak memory of the one that starts it.
LAUNCH = (
    "import resource, subprocess, sys; status = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode; "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024); sys.exit(status)"
)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Detect in a large image by tiles, and without them in the scenes of which it is made."""

    # Folder for the detector, the images and what is found in them; what it holds is not made again.
    work: Positional[Path]
    # Epochs of 15 steps in which the detector learns.
    epochs: int = 24
    # Scenes in a row of the image.
    across: int = 20
    # Different scenes; a divisor of the number of places.
    scenes: int = 40
    # Formats of the image: a TIFF in tiles is read by rows, a PNG as a whole.
    formats: tuple[str, ...] = ("tif", "png")


class Found(NamedTuple):
    """Boxes that `uncrowd predict` wrote, for each image, and the seconds and bytes that it took."""

    boxes: list[Tensor]
    seconds: float
    peak: int


class Score(NamedTuple):
    """For each object whether it is found, and whether it is found twice."""

    hit: Tensor
    twice: Tensor


def main(argv: Sequence[str]) -> int:
    """Prints a line for each way."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.tiles_at_scale")
    weights = trained(arguments.work, arguments.epochs)
    name = f"images-{arguments.across}-{arguments.scenes}"
    images = made_once(arguments.work / name, lambda folder: _draw(folder, arguments.across, arguments.scenes))
    places = np.load(images / "places.npy")
    truth = _placed([torch.from_numpy(np.load(file)) for file in sorted((images / "scenes").glob("*.npy"))], places)
    side = arguments.across * SIDE
    shared = _in_overlaps(truth, side)
    print(f"{machine()}, commit {commit()}")
    print(f"{len(truth)} objects in {side} x {side} pixels, {int(shared.sum())} of them in overlaps of tiles")
    alone = _predict(weights, sorted((images / "scenes").glob("*.png")), arguments.work / "alone", [])
    whole = _score(truth, _placed(alone.boxes, places))
    print(_line("scenes without tiles", whole, shared, alone))
    for format in arguments.formats:
        found = _predict(weights, [images / f"image.{format}"], arguments.work / format, ["--tiles", str(SIDE)])
        tiled = _score(truth, found.boxes[0])
        print(_line(f"image.{format} in tiles", tiled, shared, found))
        lost, won = whole.hit & ~tiled.hit, tiled.hit & ~whole.hit
        print(
            f"  found without tiles only {int(lost.sum())}, {int((lost & shared).sum())} of them in overlaps; "
            f"found with tiles only {int(won.sum())}, {int((won & shared).sum())} of them in overlaps"
        )
    return 0


def trained(work: Path, epochs: int) -> Path:
    """Returns the weights, after training what is left to train."""
    folder = work / f"run-{epochs}"
    data = made_once(work / "data", _write)
    begun = (folder / "config.json").is_file()
    trained = uncrowd.resume(folder, data=data) if begun else uncrowd.train(data, _recipe(epochs), out=folder)
    if not trained.finished:
        raise InputError("Training was stopped; the same command goes on with it.")
    return trained.weights


def _write(folder: Path) -> None:
    write_dataset(folder, "train", LEARNT, 120, seed=0)
    write_dataset(folder, "val", SCENES, 6, seed=1)


def _recipe(epochs: int) -> Experiment:
    recipe = dense_1()
    assert isinstance(recipe.model, SparseRCNNConfig)
    return replace(
        recipe,
        name="tiles-at-scale",
        model=replace(recipe.model, proposals=100),
        augment=replace(recipe.augment, tile=CROP, short_sides=(72, 76, 80, 84, 88), max_size=CROP),
        resize=ResizeConfig(short_side=SIDE // 2, max_size=SIDE),
        optim=replace(recipe.optim, learning_rate=8e-4, milestones=(0.8 * epochs,)),
        train=TrainConfig(
            epochs=epochs, batch_size=8, ema_decay=0.98, evaluate_every=epochs, checkpoint_every=50, workers=0
        ),
    )


def _draw(folder: Path, across: int, scenes: int) -> None:
    """Writes the scenes with their boxes, which scene is in which place, and the image as TIFF in tiles and as PNG."""
    import tifffile

    (folder / "scenes").mkdir(parents=True)
    drawn = [draw_scene(SCENES, (2, number)) for number in range(scenes)]
    for number, scene in enumerate(drawn):
        Image.fromarray(scene.image).save(folder / "scenes" / f"{number:03d}.png", compress_level=1)
        np.save(folder / "scenes" / f"{number:03d}.npy", scene.boxes.astype(np.float32))
    places = np.random.default_rng(3).permutation(np.repeat(np.arange(scenes), across**2 // scenes))
    places = places.reshape(across, across)
    np.save(folder / "places.npy", places)
    image = np.concatenate([np.concatenate([drawn[number].image for number in row], axis=1) for row in places])
    tifffile.imwrite(folder / "image.tif", image, tile=(256, 256), photometric="rgb")
    Image.fromarray(image).save(folder / "image.png", compress_level=1)


def _placed(boxes: list[Tensor], places: np.ndarray) -> Tensor:
    """Returns the boxes of each scene at all its places in the image."""
    rows, columns = np.indices(places.shape) * SIDE
    return torch.cat(
        [
            boxes[scene] + torch.tensor([left, top, left, top])
            for scene, top, left in zip(places.flat, rows.flat, columns.flat, strict=True)
        ]
    )


def _in_overlaps(boxes: Tensor, side: int) -> Tensor:
    """Returns which boxes reach into what two tiles share."""
    grid = grid_of((side, side), TilesConfig(side=SIDE, overlap=SIDE // 5))
    shared = torch.zeros(len(boxes), dtype=torch.bool)
    for axis, spans in ((0, grid.columns), (1, grid.rows)):
        for (start, _), (_, end) in zip(spans[1:], spans, strict=False):
            shared |= (boxes[:, axis + 2] > start) & (boxes[:, axis] < end)
    return shared


def _predict(weights: Path, images: Sequence[Path], out: Path, flags: Sequence[str]) -> Found:
    command = [sys.executable, "-m", "uncrowd", "predict", str(weights), *map(str, images), "--json-only", *flags]
    command += ["--out", str(out), "--overwrite"]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", LAUNCH, *command], stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - start
    records = json.loads((out / "detections.json").read_text())
    boxes = [torch.tensor([found["box_xyxy"] for found in each["detections"]]).reshape(-1, 4) for each in records]
    return Found(boxes, seconds, int(done.stdout))


def _score(truth: Tensor, found: Tensor) -> Score:
    i, j = close_pairs(found, truth, axis=0)
    ious = iou(found[i], truth[j])
    near = ious >= 0.5
    i, j, ious = i[near], j[near], ious[near]
    pairs = assign((i, j), ious**2)
    hit = torch.zeros(len(truth), dtype=torch.bool)
    hit[j[pairs]] = True
    left_over = ~torch.isin(i, i[pairs])
    best = torch.zeros(len(found)).scatter_reduce(0, i, ious, "amax")
    twice = torch.zeros(len(truth), dtype=torch.bool)
    twice[j[left_over & (ious == best[i])]] = True
    return Score(hit, twice & hit)


def _line(name: str, score: Score, shared: Tensor, found: Found) -> str:
    recall, in_overlaps = score.hit.float().mean(), score.hit[shared].float().mean()
    return (
        f"{name}: recall {recall:.2%}, of objects in overlaps {in_overlaps:.2%}; "
        f"found twice {int(score.twice.sum())}, in overlaps {int((score.twice & shared).sum())}; "
        f"{found.seconds:.0f} s, at most {found.peak / 2**30:.2f} GiB"
    )


if __name__ == "__main__":
    run(main)
