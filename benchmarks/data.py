"""Times the reading of images: `python -m benchmarks.data` from the project's root.

Compares the training loader and the inference loader with the bare decoding of the same JPEGs. They take turns, round
after round. Then shows what worker processes gain, and how the time of the training loader splits into parts.
Everything but the workers runs in one thread, because torch has only one thread within a worker too. After the first
round the system holds all files in memory.
"""

import os
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Annotated, TypeVar

import numpy as np
import PIL
import torch
import tyro
from benchmarks.command import run
from benchmarks.record import append, machine, require_appendable
from benchmarks.turns import Rounds, ratios, take_turns, with_spread
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg, read_file

from uncrowd.data.batches import pad, plan_epoch
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.images.read import read_image
from uncrowd.data.loader import InferenceLoader, TrainLoader
from uncrowd.data.synthetic.scenes import SceneConfig, write_dataset
from uncrowd.data.transforms import ResizeConfig, TrainTransformConfig, augment, image_rng
from uncrowd.errors import InputError, require_at_least
from uncrowd.words import counted

Returned = TypeVar("Returned")

PILLOW, TRAINING, INFERENCE, IN_PARTS = "Pillow", "training loader", "inference loader", "training, part by part"
READ, DECODE, AUGMENT, PAD = PARTS = (
    "reading the file",
    "decoding it to RGB",
    "flips, resizing, boxes",
    "padding to a batch",
)
TRANSFORM = TrainTransformConfig()


def _up_to_one_a_core() -> tuple[int, ...]:
    return tuple(workers for workers in (1, 2, 4, 8, 16) if workers <= (os.cpu_count() or 1))


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare the speed of both loaders with that of decoding the same JPEGs."""

    # A dataset's folder or annotation file. Without it, scenes of COCO's usual 640 x 480 are drawn.
    data: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None
    # Number of images: drawn, or the first JPEGs of the data, rounded down to whole batches.
    images: int = 256
    # Images in a batch; they are padded to one size.
    batch_size: int = 16
    # Numbers of worker processes to compare with none, by default up to one per core. Their time includes their start.
    workers: tuple[int, ...] = field(default_factory=_up_to_one_a_core)
    # Rounds, after one that is not counted.
    rounds: int = 5
    # Seed of the drawn scenes and of the augmentation, which is the same in every round.
    seed: int = 0
    # Also append the result as a line of JSON to this file.
    append: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None

    def __post_init__(self) -> None:
        """Raises InputError when there is nothing to time, or the file to append to cannot be written."""
        require_at_least(1, **{"--images": self.images, "--batch-size": self.batch_size, "--rounds": self.rounds})
        require_at_least(1, **{"--workers": min(self.workers, default=1)})
        require_at_least(0, **{"--seed": self.seed})
        require_appendable(self.append)  # last, because it creates the file


def main(argv: Sequence[str]) -> int:
    """Prints a table for each comparison."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.data")
    torch.set_num_threads(1)
    parts: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        dataset = _images(arguments, Path(folder))
        paths = [dataset.path(index) for index in range(len(dataset))]
        size = statistics.mean(path.stat().st_size for path in paths) / 2**10
        decoders = {name: partial(_each, decode, paths) for name, decode in _decoders().items()}
        in_parts = {IN_PARTS: lambda: parts.append(_seconds_by_part(dataset, arguments))}
        seconds = take_turns(decoders | _loaders(dataset, arguments) | in_parts, arguments.rounds)
    del parts[: -arguments.rounds]  # the warm-up round
    pixels = dataset.sizes.prod(axis=1).mean() / 1e6
    print(f"{machine()}, torch {torch.__version__} with 1 thread, Pillow {PIL.__version__}")
    print(
        f"{len(dataset)} JPEGs, on average of {size:.0f} KiB and {pixels:.2f} million pixels, read in "
        f"{counted(arguments.rounds, 'round')}\n"
    )
    print(_table(seconds, [*decoders, TRAINING, INFERENCE], PILLOW, len(dataset)))
    print(_fastest({name: seconds[name] for name in decoders}))
    with_workers = [name for name in seconds if name.startswith(TRAINING)]
    print(f"\n{_table(seconds, with_workers, TRAINING, len(dataset))}")
    print(f"\n{_parts_table(parts, seconds[TRAINING], len(dataset))}")
    if arguments.append is not None:
        read = {"data": str(arguments.data or "drawn"), "images": len(dataset), "kibibytes": size}
        append(arguments.append, "data", arguments, read | {"seconds": seconds, "parts": parts})
    return 0


def _images(arguments: Arguments, folder: Path) -> DetectionDataset:
    """Returns JPEGs for whole batches: drawn into the folder, or the first ones of the dataset."""
    if arguments.data is None:
        write_dataset(folder, "train", SceneConfig(size=(480, 640)), arguments.images, arguments.seed)
    dataset = open_dataset(arguments.data or folder).present[0]
    usable = (index for index in range(len(dataset)) if _is_jpeg(dataset.path(index)))
    chosen = list(islice(usable, arguments.images))
    whole = len(chosen) // arguments.batch_size * arguments.batch_size
    if not whole:
        raise InputError(f"{dataset.source} has {len(chosen)} JPEGs to read, too few; give a smaller --batch-size.")
    return dataset.subset(chosen[:whole])


def _is_jpeg(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return image.format == "JPEG"
    except OSError:
        return False


def _decoders() -> dict[str, Callable[[Path], object]]:
    """Returns the decoders that are installed; each reads a file into RGB in memory."""
    decoders: dict[str, Callable[[Path], object]] = {
        PILLOW: lambda path: np.asarray(Image.open(path).convert("RGB")),
        "torchvision": lambda path: decode_jpeg(read_file(str(path)), ImageReadMode.RGB),
    }
    if find_spec("simplejpeg") is not None:
        simplejpeg = import_module("simplejpeg")
        decoders["simplejpeg"] = lambda path: simplejpeg.decode_jpeg(path.read_bytes(), "RGB")
    return decoders


def _loaders(dataset: DetectionDataset, arguments: Arguments) -> dict[str, Callable[[], object]]:
    """Returns functions that read every image once: both loaders without workers, and the training loader with them."""
    inference = InferenceLoader(dataset, ResizeConfig(), multiple=32, batch_size=arguments.batch_size)
    loaders: dict[str, Callable[[], object]] = {INFERENCE: partial(_exhaust, inference)}
    for workers in (0, *arguments.workers):
        loader = TrainLoader(dataset, TRANSFORM, seed=arguments.seed, batch_size=arguments.batch_size, workers=workers)
        name = f"{TRAINING}, {counted(workers, 'worker')}" if workers else TRAINING
        loaders[name] = lambda loader=loader: _exhaust(loader.epoch(0))
    return loaders


def _seconds_by_part(dataset: DetectionDataset, arguments: Arguments) -> dict[str, float]:
    """Returns the seconds of each part of the training loader's work on the same batches."""
    seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)

    def timed(part: str, call: Callable[[], Returned]) -> Returned:
        start = perf_counter()
        returned = call()
        seconds[part] += perf_counter() - start
        return returned

    for batch in plan_epoch(dataset.sizes, seed=arguments.seed, epoch=0, batch_size=arguments.batch_size):
        images = []
        for index in batch:
            sample, rng = dataset[index], image_rng(arguments.seed, 0, index)
            timed(READ, sample.path.read_bytes)
            pixels = timed(DECODE, partial(read_image, sample.path, sample.size))
            image, _ = timed(AUGMENT, partial(augment, TRANSFORM, pixels, sample, rng))
            images.append(image)
        timed(PAD, partial(pad, images))
    seconds[DECODE] -= seconds[READ]  # `read_image` also reads the file, which was timed on its own
    return seconds


def _table(seconds: Rounds, names: Sequence[str], reference: str, images: int) -> str:
    width = max(map(len, names)) + 2
    lines = [f"{'':{width}}images a second   as fast as {reference}"]
    for name in names:
        speed = images / statistics.median(seconds[name])
        lines.append(f"{name:{width}}{speed:17.0f}   {with_spread(ratios(seconds[name], seconds[reference]))}")
    return "\n".join(lines)


def _fastest(decoders: Rounds) -> str:
    first, *others = sorted(decoders, key=lambda name: statistics.median(decoders[name]))
    compared = [f"{with_spread(ratios(decoders[first], decoders[other]))} as fast as {other}" for other in others]
    return f"{first} decodes fastest: {', '.join(compared)}."


def _parts_table(parts: Sequence[dict[str, float]], loader: Sequence[float], images: int) -> str:
    """Returns one line for each part, and one for the rest of the loader's time."""
    rests = {"the rest, by difference": [whole - sum(part.values()) for part, whole in zip(parts, loader, strict=True)]}
    lines = [f"{'':26}ms per image   of the {TRAINING}'s time"]
    for name, times in ({part: [some[part] for some in parts] for part in PARTS} | rests).items():
        shares = [100 * time / whole for time, whole in zip(times, loader, strict=True)]
        share = f"{statistics.median(shares):.0f} % ({min(shares):.0f} to {max(shares):.0f})"
        lines.append(f"{name:26}{1000 * statistics.median(times) / images:12.2f}   {share}")
    return "\n".join(lines)


def _each(call: Callable[[Path], object], paths: Sequence[Path]) -> None:
    for path in paths:
        call(path)


def _exhaust(batches: Iterable[object]) -> None:
    for _ in batches:
        pass


if __name__ == "__main__":
    run(main)
