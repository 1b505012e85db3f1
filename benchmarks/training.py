"""How fast detectors train, and in how much memory: `python -m benchmarks.training` from the project's root.

A step is everything from a batch on the host to changed weights: the copy to the device, forward pass, matching, loss,
backward pass, clipping of the gradient, optimiser. Ours is the engine's own step, so what is timed is what `uncrowd
train` does with each batch. Beside it stand the literal twin that the tests hold it to (the same model and loss, each
operation as the public code has it), Sparse R-CNN without the paper's modules on our engine, and torchvision's Faster
R-CNN. All see the same images and boxes, in turn, round after round, in fp32 and under bf16 autocast; what counts is
the ratio of a round's times.

The most memory that a detector needs is that of two steps in a process of its own. Last come the parts of our step: see
`benchmarks.training_parts`.
"""

import math
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, repeat
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from benchmarks.command import run
from benchmarks.made_up_model import BatchConfig, made_up_batch
from benchmarks.memory import peak
from benchmarks.record import append, conditions, require_appendable
from benchmarks.training_parts import Shares, seconds_by_part, share_of_waiting
from benchmarks.training_parts import table as parts_table
from benchmarks.training_steps import EngineStep, Step, faster_rcnn_step, plain_step
from benchmarks.turns import Rounds, ratios, take_turns, with_spread

from uncrowd.data.formats.open import open_dataset
from uncrowd.data.loader import TrainLoader
from uncrowd.data.synthetic.scenes import SceneConfig, write_dataset
from uncrowd.data.transforms import TrainTransformConfig
from uncrowd.errors import InputError, require_at_least
from uncrowd.freed_memory import keep_freed_memory
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.structures import Batch
from uncrowd.words import counted

Precision = Literal["fp32", "bf16"]

TWIN, FASTER_RCNN = "the plain twin", "Faster R-CNN"
REFERENCES = (TWIN, FASTER_RCNN)
CLASSES = 80


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Time training steps of the paper's detectors and their peers on one batch."""

    # Height of the images, in pixels.
    height: int = 800
    # Width of the images.
    width: int = 1088
    # Images in a batch.
    batch_size: int = 2
    # Objects in an image, on average: COCO has 7, CrowdHuman 23.
    objects: float = 7
    # Of our detectors; Sparse R-CNN and the plain twin have the first of these numbers.
    proposals: tuple[int, ...] = (100,)
    # Of all but Faster R-CNN.
    stages: int = 6
    # What all but Faster R-CNN are made of; Sparse R-CNN does without the two modules.
    stage: StageConfig = field(default_factory=StageConfig)
    # A timm network for all but Faster R-CNN: a ResNet, or a Swin such as swin_tiny_patch4_window7_224.
    backbone: str = "resnet50"
    # Under bf16 autocast, weights stay in fp32.
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    # Also time our first detector compiled.
    compile: bool = False
    # Also time our first detector with images that so many processes load, and show the parts of that; 0 loads them
    # between the steps. A turn is a whole epoch of drawn scenes then, and starting the processes is part of it.
    workers: int | None = None
    # Steps in a turn.
    steps: int = 1
    # Rounds, after one that is not counted.
    rounds: int = 5
    # Whether memory is measured, for which each detector starts anew.
    memory: bool = True
    # Of images and boxes.
    seed: int = 0
    # Keep freed memory, as the `uncrowd` command does on a CPU, for ours and for the others.
    keep_freed_memory: bool = False
    # Also append the result as a line of JSON to this file.
    append: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None

    def __post_init__(self) -> None:
        """Raises InputError for what cannot be timed or written."""
        require_at_least(64, **{"--height": self.height, "--width": self.width})
        require_at_least(1, **{"--batch-size": self.batch_size, "--steps": self.steps, "--rounds": self.rounds})
        require_at_least(1, **{"--stages": self.stages, "--objects": self.objects})
        require_at_least(1, **{"--proposals": min(self.proposals, default=0)})
        if not self.precisions:
            raise InputError("--precisions is empty; there is nothing to time.")
        require_at_least(0, **{"--workers": self.workers or 0, "--seed": self.seed})
        require_appendable(self.append)  # last, for it makes the file


def main(argv: Sequence[str]) -> int:
    """Prints a table for each precision, and the parts of our step."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.training")
    kept = arguments.keep_freed_memory and keep_freed_memory()
    size = f"{arguments.height} x {arguments.width}"
    print(conditions(kept=kept))
    print(
        f"steps of {counted(arguments.batch_size, 'image')} of {size} with about {arguments.objects:g} objects each, "
        f"{arguments.backbone}, {counted(arguments.stages, 'stage')}, {counted(arguments.rounds, 'round')} of "
        f"{counted(arguments.steps, 'step')}"
    )
    memory: dict[str, dict[str, int | None]] = {precision: {} for precision in arguments.precisions}
    for name in _detectors(arguments) if arguments.memory else ():
        for precision, of_detectors in memory.items():
            of_detectors[name] = peak(_two_steps, arguments, name, precision)
    with tempfile.TemporaryDirectory() as folder:
        loader = _loader(arguments, Path(folder))
        steps = {name: build() for name, build in _detectors(arguments).items()}
        losses, seconds = _times(arguments, steps, loader)
        for precision in arguments.precisions:
            print(f"\n{_table(arguments, precision, seconds, losses[precision], memory[precision])}")
        ours = steps[_ours(arguments.proposals[0])]
        assert isinstance(ours, EngineStep)
        shares = {precision: _shares(arguments, ours, loader, precision == "bf16") for precision in seconds}
    if arguments.append is not None:
        results = {"seconds": seconds, "losses": losses, "bytes": memory, "parts": shares}
        append(arguments.append, "training", arguments, results | {"keep_freed_memory": kept})
    return 0


def _detectors(arguments: Arguments) -> dict[str, Callable[[], Step]]:
    """What builds each; nothing is built yet."""
    images, first = arguments.batch_size, arguments.proposals[0]

    def config(proposals: int, stage: StageConfig) -> SparseRCNNConfig:
        trunk = BackboneConfig(name=arguments.backbone)
        return SparseRCNNConfig(
            num_classes=CLASSES, proposals=proposals, stages=arguments.stages, backbone=trunk, stage=stage
        )

    whole, without = arguments.stage, replace(arguments.stage, attention="content", interaction="entangled")
    detectors: dict[str, Callable[[], Step]] = {}
    for proposals in arguments.proposals:
        detectors[_ours(proposals)] = partial(EngineStep, config(proposals, whole), images)
    if arguments.compile:
        detectors[f"{_ours(first)}, compiled"] = partial(EngineStep, config(first, whole), images, compiled=True)
    detectors[TWIN] = partial(plain_step, config(first, whole))
    detectors["Sparse R-CNN"] = partial(EngineStep, config(first, without), images)
    detectors[FASTER_RCNN] = partial(faster_rcnn_step, arguments.height, arguments.width, CLASSES)
    return detectors


def _ours(proposals: int) -> str:
    return f"ours, {proposals} proposals"


def _batch(arguments: Arguments) -> Batch:
    return made_up_batch(
        BatchConfig(
            images=arguments.batch_size,
            height=arguments.height,
            width=arguments.width,
            objects=arguments.objects,
            classes=CLASSES,
            seed=arguments.seed,
        )
    )


def _two_steps(arguments: Arguments, name: str, precision: Precision) -> None:
    """The second has what the optimiser keeps beside what a step needs."""
    if arguments.keep_freed_memory:  # in a process of its own
        keep_freed_memory()
    step, batch = _detectors(arguments)[name](), _batch(arguments)
    for _ in range(2):
        step(batch, precision == "bf16")


def _loader(arguments: Arguments, folder: Path) -> TrainLoader | None:
    """Drawn scenes, of which an epoch is a turn; enlarged to the size of the other images, to a few pixels."""
    if arguments.workers is None:
        return None
    sides = arguments.height, arguments.width
    objects = round(arguments.objects)
    scenes = SceneConfig(size=(3 * sides[0] // 5, 3 * sides[1] // 5), objects=(objects, objects))
    write_dataset(folder, "train", scenes, arguments.batch_size * arguments.steps, arguments.seed)
    dataset = open_dataset(folder).train
    assert dataset is not None
    transform = TrainTransformConfig(short_sides=(min(sides),), max_size=max(sides))
    return TrainLoader(
        dataset, transform, seed=arguments.seed, batch_size=arguments.batch_size, workers=arguments.workers
    )


def _times(
    arguments: Arguments, steps: dict[str, Step], loader: TrainLoader | None
) -> tuple[dict[str, dict[str, float]], dict[str, Rounds]]:
    """By precision and detector: the loss of a first step, and the seconds of each turn."""
    batch, first, epochs = _batch(arguments), _ours(arguments.proposals[0]), count()
    losses: dict[str, dict[str, float]] = {}
    contestants: dict[tuple[str, str], Callable[[], None]] = {}
    for precision in arguments.precisions:
        bf16 = precision == "bf16"
        losses[precision] = {}
        for name, step in steps.items():
            losses[precision][name] = step(batch, bf16).item()
            print(f"first loss: {name} in {precision}, {losses[precision][name]:.4g}", file=sys.stderr, flush=True)
        assert all(map(math.isfinite, losses[precision].values())), f"what random weights find explodes: {losses}"
        for name, step in steps.items():
            contestants[precision, name] = partial(_same_batch, step, batch, bf16, arguments.steps)
        if loader is not None:
            fed = f"{first}, fed by {counted(arguments.workers or 0, 'worker')}"
            contestants[precision, fed] = partial(_epoch, steps[first], loader, epochs, bf16)
    rounds = take_turns({" ".join(key): run for key, run in contestants.items()}, arguments.rounds)
    seconds: dict[str, Rounds] = {precision: {} for precision in arguments.precisions}
    for (precision, name), times in zip(contestants, rounds.values(), strict=True):
        seconds[precision][name] = times
    return losses, seconds


def _same_batch(step: Step, batch: Batch, bf16: bool, steps: int) -> None:
    for _ in range(steps):
        step(batch, bf16)


def _epoch(step: Step, loader: TrainLoader, epochs: Iterator[int], bf16: bool) -> None:
    for batch in loader.epoch(next(epochs)):
        step(batch, bf16)


def _table(
    arguments: Arguments,
    precision: Precision,
    seconds: dict[str, Rounds],
    losses: dict[str, float],
    memory: dict[str, int | None],
) -> str:
    """A line a detector in this precision; bf16 is also compared with the plain twin in fp32, where that was timed."""
    times_of, references = seconds[precision], {name: seconds[precision][name] for name in REFERENCES}
    if precision == "bf16" and "fp32" in seconds:
        references[f"{TWIN} in fp32"] = seconds["fp32"][TWIN]
    width = max(map(len, times_of)) + 2
    head = f"{precision:{width}}images/s   peak memory   first loss"
    lines = [head + "".join(f"   {'as fast as ' + reference:29}" for reference in references).rstrip()]
    for name, times in times_of.items():
        speed = arguments.batch_size * arguments.steps / statistics.median(times)
        bytes_, loss = memory.get(name), losses.get(name)
        size = "-" if bytes_ is None else f"{bytes_ / 2**30:.2f} GiB"
        line = f"{name:{width}}{speed:10.3f}   {size:>11}   {'-' if loss is None else f'{loss:.4g}':>10}"
        compared = [with_spread(ratios(times, theirs)) for theirs in references.values()]
        lines.append((line + "".join(f"   {ratio:29}" for ratio in compared)).rstrip())
    return "\n".join(lines)


def _shares(arguments: Arguments, ours: EngineStep, loader: TrainLoader | None, bf16: bool) -> Shares:
    """Prints where the time of our step goes, and returns it."""
    batches = repeat(_batch(arguments)) if loader is None else _endless(loader)
    steps = arguments.rounds * arguments.steps
    shares = seconds_by_part(ours, batches, bf16, steps)
    print(f"\nour step in {'bf16' if bf16 else 'fp32'}, part by part\n{parts_table(shares)}")
    if torch.cuda.is_available():
        waiting = share_of_waiting(ours, batches, bf16, steps)
        print(f"In steps that nothing interrupts, the host waits for the device for {100 * waiting:.0f} % of the time.")
    return shares


def _endless(loader: TrainLoader) -> Iterator[Batch]:
    for epoch in count():
        yield from loader.epoch(epoch)


if __name__ == "__main__":
    run(main)
