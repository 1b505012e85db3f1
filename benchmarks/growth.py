"""Measures how time and memory grow with the input: `python -m benchmarks.growth` from the project's root.

There are four lines. In each of them one quantity grows and all others stay the same:
- proposals, and pixels: inference, and training from an image to its gradients (the optimiser grows with neither);
- objects of an image: matching, loss and gradients, for made-up outputs of a model;
- boxes of a dataset: reading its file, the memory it takes, and the plans of an epoch and of inference.

All sizes of a line take turns, round after round. The exponent of growth is the slope of log(time) over log(size),
fitted to the larger half of the sizes in each round; 1 is linear. Parts are timed in the same runs, with a wait for the
device after each. Memory is the peak including the model, measured once in a process of its own.
"""

import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from benchmarks.command import run
from benchmarks.growth_lines import Line, ModelCase, boxes_line, model_line, objects_line
from benchmarks.made_up_model import BatchConfig
from benchmarks.parts import ATTENTION, DYNAMIC, KERNELS, POOLING
from benchmarks.record import append, conditions, require_appendable
from benchmarks.training_parts import ASSIGNMENT, COSTS

from uncrowd.errors import InputError, require_at_least
from uncrowd.freed_memory import keep_freed_memory
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.words import counted

Quantity = Literal["proposals", "pixels", "objects", "boxes"]

LEAST_SHARE = 0.02  # parts with a smaller share of the time at the largest size are not shown
# Why a part grows, by the quantity that grows.
REASONS = {
    ("proposals", ATTENTION): "each query attends to each",
    ("proposals", KERNELS): "each query makes its own kernels",
    ("proposals", DYNAMIC): "each query has its own convolutions",
    ("proposals", POOLING): "each box is pooled",
    ("objects", COSTS): "each prediction is compared with each object",
    ("objects", ASSIGNMENT): "the Hungarian algorithm goes through the costs once for each object",
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Measure how time and memory grow with proposals, pixels, objects and boxes."""

    # The quantities that grow, one after the other.
    lines: tuple[Quantity, ...] = ("proposals", "pixels", "objects", "boxes")
    # Numbers of proposals. The first one is used while pixels grow.
    proposals: tuple[int, ...] = (50, 100, 200, 400, 700, 1000)
    # Sides of square images, in pixels. The first one is used while proposals grow.
    sides: tuple[int, ...] = (320, 480, 640, 960, 1280)
    # Numbers of objects in an image.
    objects: tuple[int, ...] = (1, 10, 50, 125, 250, 500)
    # Numbers of boxes in a dataset.
    boxes: tuple[int, ...] = (1_000, 10_000, 100_000, 300_000, 1_000_000)
    # Stages of the model.
    stages: int = 6
    # The parts of each stage.
    stage: StageConfig = field(default_factory=StageConfig)
    # Backbone: a timm network.
    backbone: str = "resnet50"
    # Rounds, after one that is not counted.
    rounds: int = 2
    # Also measure memory, in a new process for each size.
    memory: bool = True
    # Keep freed memory, as the `uncrowd` command does on a CPU.
    keep_freed_memory: bool = False
    # Also append the result as a line of JSON to this file.
    append: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None

    def __post_init__(self) -> None:
        """Raises InputError when there is nothing to time or to fit, or the file to append to cannot be written."""
        require_at_least(1, **{"--rounds": self.rounds, "--stages": self.stages})
        if not self.lines:
            raise InputError("--lines is empty; there is nothing to measure.")
        for name in ("proposals", "sides", "objects", "boxes"):
            require_at_least(2, **{f"the number of --{name}": len(set(getattr(self, name)))})
            require_at_least(32 if name == "sides" else 1, **{f"--{name}": min(getattr(self, name))})
        if self.memory and self.keep_freed_memory:
            raise InputError("Memory is measured without --keep-freed-memory; give --no-memory with it.")
        require_appendable(self.append)  # last, because it creates the file


def main(argv: Sequence[str]) -> int:
    """Prints a table for each line, and how its times and its memory grow."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.growth")
    kept = arguments.keep_freed_memory and keep_freed_memory()
    print(conditions(kept=kept))
    print(f"fp32, eager, {counted(arguments.rounds, 'round')}")
    lines = []
    for quantity in arguments.lines:
        lines.append(_measure(quantity, arguments))
        print(f"\n{lines[-1].quantity} {lines[-1].where}\n\n{_table(lines[-1])}\n")
        print("\n".join(_in_words(lines[-1])), flush=True)
    if arguments.append is not None:
        results = {"results": [_as_record(line) for line in lines], "keep_freed_memory": kept}
        append(arguments.append, "growth", arguments, results)
    return 0


def _measure(quantity: Quantity, arguments: Arguments) -> Line:
    model = SparseRCNNConfig(
        proposals=arguments.proposals[0],
        stages=arguments.stages,
        stage=arguments.stage,
        backbone=BackboneConfig(name=arguments.backbone),
    )
    side = arguments.sides[0]
    batch = BatchConfig(images=1, height=side, width=side, objects=7)
    how = {"rounds": arguments.rounds, "memory": arguments.memory}
    built = f"{arguments.backbone}, {counted(arguments.stages, 'stage')}"
    match quantity:
        case "proposals":
            cases = {n: ModelCase(replace(model, proposals=n), batch) for n in sorted(arguments.proposals)}
            return model_line(quantity, f"in an image of {side} x {side}, {built}", cases, **how)
        case "pixels":
            cases = {n * n: ModelCase(model, replace(batch, height=n, width=n)) for n in sorted(arguments.sides)}
            return model_line(quantity, f"with {counted(model.proposals, 'proposal')}, {built}", cases, **how)
        case "objects":
            return objects_line(sorted(arguments.objects), arguments.stages, **how)
        case "boxes":
            with tempfile.TemporaryDirectory() as folder:
                return boxes_line(sorted(arguments.boxes), Path(folder), **how)


def slope(values: Mapping[int, float]) -> float:
    """Returns the slope of log(value) over log(size), by least squares over the larger half of the sizes."""
    half = _larger_half(values)
    return float(np.polyfit(np.log(half), np.log([max(values[size], 1e-9) for size in half]), 1)[0])


def _larger_half(sizes: Iterable[int]) -> list[int]:
    """Returns the larger half of the sizes in ascending order, and at least two of them."""
    ascending = sorted(sizes)
    return ascending[-max(2, (len(ascending) + 1) // 2) :]


def in_words(slopes: Sequence[float], quantity: str) -> str:
    """Returns the growth in words, such as "proposals^0.61 (0.60 to 0.63): less than linear"."""
    middle = statistics.median(slopes)
    match middle:
        case _ if middle < 0.1:
            kind = "hardly at all"
        case _ if middle < 0.9:
            kind = "less than linear"
        case _ if middle <= 1.1:
            kind = "linear"
        case _ if middle < 1.9:
            kind = "more than linear"
        case _:
            kind = "as the square, or more"
    spread = f" ({_power(min(slopes))} to {_power(max(slopes))})" if len(slopes) > 1 else ""
    return f"{quantity}^{_power(middle)}{spread}: {kind}"


def _power(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # the sum turns -0 into 0


def _slopes(by_size: Mapping[int, Sequence[float]]) -> list[float]:
    """Returns the slope in each round."""
    return [slope(dict(zip(by_size, of_round, strict=True))) for of_round in zip(*by_size.values(), strict=True)]


def _wholes(line: Line, what: str) -> dict[int, list[float]]:
    return {size: [sum(parts.values()) for parts in rounds] for size, rounds in line.seconds[what].items()}


def _parts(line: Line, what: str) -> dict[str, dict[int, list[float]]]:
    """Returns the seconds by part, size and round, of parts with at least `LEAST_SHARE`; the slowest part first."""
    of_size = line.seconds[what]
    last_of = of_size[max(of_size)]
    last = {name: statistics.median(parts.get(name, 0) for parts in last_of) for name in last_of[0]}
    if len(last) == 1:  # it was timed as a whole
        return {}
    counting = [name for name, time in last.items() if time >= LEAST_SHARE * sum(last.values())]
    return {
        name: {size: [parts.get(name, 0) for parts in rounds] for size, rounds in of_size.items()}
        for name in sorted(counting, key=last.__getitem__, reverse=True)
    }


def _table(line: Line) -> str:
    sizes = list(next(iter(line.seconds.values())))
    lines = [_row(line.quantity, [f"{size:,}" for size in sizes], "exponent")]
    for what in line.seconds:
        wholes = {f"{what}, ms": _wholes(line, what)}
        for name, values in (wholes | {f"  {part}": times for part, times in _parts(line, what).items()}).items():
            numbers = [f"{1000 * statistics.median(values[size]):,.1f}" for size in sizes]
            lines.append(_row(name, numbers, _power(statistics.median(_slopes(values)))))
    for what, values in _measured_bytes(line):
        numbers = [f"{values[size] / 2**20:,.1f}" for size in sizes]
        lines.append(_row(f"memory {what}, MiB", numbers, _power(slope(values))))
    return "\n".join(lines)


def _row(name: str, cells: Iterable[str], last: str) -> str:
    return f"{name:30}" + "".join(f"{cell:>11}" for cell in cells) + f"{last:>11}"


def _measured_bytes(line: Line) -> Iterator[tuple[str, dict[int, int]]]:
    for what, by_size in line.bytes.items():
        known = {size: value for size, value in by_size.items() if value is not None}
        if known.keys() == by_size.keys():
            yield what, known


def _in_words(line: Line) -> Iterator[str]:
    for what in line.seconds:
        yield f"Time of {what} grows like {in_words(_slopes(_wholes(line, what)), line.quantity)}."
        if parts := _parts(line, what):
            yield f"  {what_forces_it(line, what, parts)}"
    for what, values in _measured_bytes(line):
        yield f"Memory {what} grows like {in_words([slope(values)], line.quantity)}."


def what_forces_it(line: Line, what: str, parts: Mapping[str, Mapping[int, Sequence[float]]]) -> str:
    """Returns a sentence about the part that contributes most to the growth and the one that grows fastest."""
    wholes = _wholes(line, what)
    smallest, *_, largest = _larger_half(wholes)

    def grown(by_size: Mapping[int, Sequence[float]]) -> float:
        return statistics.median(by_size[largest]) - statistics.median(by_size[smallest])

    def described(part: str) -> str:
        share = statistics.median(parts[part][largest]) / statistics.median(wholes[largest])
        reason = REASONS.get((line.quantity, part))
        power = _power(statistics.median(_slopes(parts[part])))
        return f"{part} (^{power}, {100 * share:.0f} % of the time at {largest:,}{f'; {reason}' if reason else ''})"

    most = max(parts, key=lambda part: grown(parts[part]))
    steepest = max(parts, key=lambda part: statistics.median(_slopes(parts[part])))
    if most == steepest:
        return f"It grows most, and steepest, in {described(most)}."
    return f"It grows most in {described(most)}, and steepest in {described(steepest)}."


def _as_record(line: Line) -> dict[str, Any]:
    return asdict(line) | {"exponents": {what: _slopes(_wholes(line, what)) for what in line.seconds}}


if __name__ == "__main__":
    run(main)
