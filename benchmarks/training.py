"""Compares the training speed and memory of detectors: `python -m benchmarks.training` from the project's root.

A step goes from a batch on the host to changed weights: copy to the device, forward pass, matching, loss, backward
pass, clipping of the gradient, optimiser. Ours is the engine's own step, so it is what `uncrowd train` does with each
batch. It is compared with the plain twin of the tests (the same model and loss, each operation as in the public code),
with Sparse R-CNN without the paper's modules in our engine, and with torchvision's Faster R-CNN. All of them train on
the same images and boxes and take turns, round after round, in fp32 and under bf16 autocast. The ratios of the times
within a round are what counts.

The peak memory of a detector is that of two steps in a process of its own. Last, the parts of our step are timed: see
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
    """Compare the training speed of the paper's detectors and of others on one batch."""

    # Height of the images, in pixels.
    height: int = 800
    # Width of the images.
    width: int = 1088
    # Images in a batch.
    batch_size: int = 2
    # Objects in an image, on average: COCO has 7, CrowdHuman 23.
    objects: float = 7
    # Numbers of proposals of our detectors. Sparse R-CNN and the plain twin have the first number.
    proposals: tuple[int, ...] = (100,)
    # Stages of all detectors but Faster R-CNN.
    stages: int = 6
    # The parts of their stages; Sparse R-CNN leaves out the two modules.
    stage: StageConfig = field(default_factory=StageConfig)
    # Their backbone, a timm network: a ResNet, or a Swin such as swin_tiny_patch4_window7_224.
    backbone: str = "resnet50"
    # Precisions to time. bf16 is autocast; weights stay in fp32.
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    # Also time the first of our detectors with torch.compile.
    compile: bool = False
    # Also time the first of our detectors with images that so many processes load (0: between the steps), and take the
    # parts from that. Its turn is then a whole epoch of drawn scenes, including the start of the processes.
    workers: int | None = None
    # Steps per turn.
    steps: int = 1
    # Rounds, after one that is not counted.
    rounds: int = 5
    # Also measure memory, in a new process for each detector.
    memory: bool = True
    # Seed of the images and boxes.
    seed: int = 0
    # Keep freed memory, as the `uncrowd` command does on a CPU, for all detectors.
    keep_freed_memory: bool = False
    # Also append the result as a line of JSON to this file.
    append: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None

    def __post_init__(self) -> None:
        """Raises InputError when there is nothing to time, or the file to append to cannot be written."""
        require_at_least(64, **{"--height": self.height, "--width": self.width})
        require_at_least(1, **{"--batch-size": self.batch_size, "--steps": self.steps, "--rounds": self.rounds})
        require_at_least(1, **{"--stages": self.stages, "--objects": self.objects})
        require_at_least(1, **{"--proposals": min(self.proposals, default=0)})
        if not self.precisions:
            raise InputError("--precisions is empty; there is nothing to time.")
        require_at_least(0, **{"--workers": self.workers or 0, "--seed": self.seed})
        require_appendable(self.append)  # last, because it creates the file


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
    """Returns functions that build the detectors; nothing is built yet."""
    images, first = arguments.batch_size, arguments.proposals[0]

    def config(proposals: int, stage: StageConfig) -> SparseRCNNConfig:
        backbone = BackboneConfig(name=arguments.backbone)
        return SparseRCNNConfig(
            num_classes=CLASSES, proposals=proposals, stages=arguments.stages, backbone=backbone, stage=stage
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
    """Takes two steps: in the second, the optimiser's state is in memory as well."""
    if arguments.keep_freed_memory:  # again, because this is a process of its own
        keep_freed_memory()
    step, batch = _detectors(arguments)[name](), _batch(arguments)
    for _ in range(2):
        step(batch, precision == "bf16")


def _loader(arguments: Arguments, folder: Path) -> TrainLoader | None:
    """Returns a loader of drawn scenes, enlarged to about the size of the other images. One turn is an epoch of it."""
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
    """Returns the loss of the first step and the seconds of each turn, by precision and detector."""
    batch, first, epochs = _batch(arguments), _ours(arguments.proposals[0]), count()
    losses: dict[str, dict[str, float]] = {}
    contestants: dict[tuple[str, str], Callable[[], None]] = {}
    for precision in arguments.precisions:
        bf16 = precision == "bf16"
        losses[precision] = {}
        for name, step in steps.items():
            losses[precision][name] = step(batch, bf16).item()
            print(f"first loss: {name} in {precision}, {losses[precision][name]:.4g}", file=sys.stderr, flush=True)
        assert all(map(math.isfinite, losses[precision].values())), (
            f"a loss with random weights is not finite: {losses}"
        )
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
    """Returns one line per detector in this precision; bf16 is also compared with the plain twin in fp32 if timed."""
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
        print(f"Without waits between parts, the host waits for the device for {100 * waiting:.0f} % of the time.")
    return shares


def _endless(loader: TrainLoader) -> Iterator[Batch]:
    for epoch in count():
        yield from loader.epoch(epoch)


if __name__ == "__main__":
    run(main)
