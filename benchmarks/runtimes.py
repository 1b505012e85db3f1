"""Compares what runs a detector: `python -m benchmarks.runtimes FILE FILE ...` from the project's root.

The files are weights, which torch runs, and what `uncrowd export` made of them for ONNX Runtime (.onnx) and OpenVINO
(.xml). All run in as many threads on the same image of noise and take turns, round after round; the ratios of the times
within a round are what counts. The time is that of the model alone, from pixels to ranked detections.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import tyro
from benchmarks.command import run
from benchmarks.record import append, commit, conditions, require_appendable
from benchmarks.turns import table, take_turns
from tyro.conf import Positional, arg

import uncrowd
from uncrowd.errors import InputError, require_at_least
from uncrowd.freed_memory import keep_freed_memory


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare the speed of a detector in torch and in other programs, on a CPU."""

    # Weights (.safetensors) and exported detectors (.onnx, .xml). Ratios are those to the first.
    files: Annotated[Positional[tuple[Path, ...]], arg(metavar="FILE [FILE ...]")]
    # Height of the image, in pixels.
    height: int = 800
    # Width of the image.
    width: int = 1088
    # Rounds, after one that is not counted.
    rounds: int = 5
    # Detections a turn.
    repeat: int = 1
    # Threads of each program.
    threads: int = 1
    # Also run the weights in bf16.
    bf16: bool = False
    # Also append the result as a line of JSON to this file.
    append: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")] = None

    def __post_init__(self) -> None:
        """Raises InputError when there is nothing to compare, or the file to append to cannot be written."""
        if len(self.files) < 2:
            raise InputError("One file is compared with nothing; give two or more.")
        require_at_least(32, **{"--height": self.height, "--width": self.width})
        require_at_least(1, **{"--rounds": self.rounds, "--repeat": self.repeat, "--threads": self.threads})
        require_appendable(self.append)


def main(argv: Sequence[str]) -> int:
    """Prints a table."""
    config = (tyro.conf.FlagCreatePairsOff,)
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.runtimes", config=config)
    torch.set_num_threads(arguments.threads)
    kept = keep_freed_memory()
    torch.manual_seed(0)
    images = torch.randint(256, (1, 3, arguments.height, arguments.width), dtype=torch.uint8)
    detectors = {str(file): uncrowd.load(file, "cpu") for file in arguments.files}
    if arguments.bf16:
        weights = [file for file in arguments.files if file.suffix == ".safetensors"]
        detectors |= {f"{file}, bf16": uncrowd.load(file, "cpu", bf16=True) for file in weights}
    turns = {name: partial(_detect, detector, images, arguments.repeat) for name, detector in detectors.items()}
    seconds = take_turns(turns, arguments.rounds)
    print(f"{conditions(kept=kept)}, commit {commit()}")
    times = f"{arguments.rounds} rounds of {arguments.repeat}"
    print(f"one image of {arguments.height} x {arguments.width}, {times}\n")
    print(table(seconds, str(arguments.files[0])))
    if arguments.append is not None:
        append(arguments.append, "runtimes", arguments, {"files": [str(file) for file in arguments.files]} | seconds)
    return 0


def _detect(detector: uncrowd.Predictor, images: torch.Tensor, repeat: int) -> None:
    precision = torch.autocast("cpu", torch.bfloat16, enabled=detector.bf16)
    sizes = torch.tensor([images.shape[-2:]])
    with torch.inference_mode(), precision:
        for _ in range(repeat):
            detector.model.detect(images, sizes)


if __name__ == "__main__":
    run(main)
