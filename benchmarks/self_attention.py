"""Scores detectors with another self attention than they were trained with: what it is worth to trained weights.

`python -m benchmarks.self_attention DATA RUN ...` from the project's root. IoU-ESA (Eq. 3) has no parameters of its
own, so the same weights can attend by content, by content and IoU, or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import tyro
from benchmarks.command import run
from benchmarks.record import commit, machine
from tyro.conf import Positional

import uncrowd
from uncrowd.errors import InputError
from uncrowd.inference.predictor import Predictor
from uncrowd.models.self_attention import AttentionKind
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.weights.file import load_weights

KINDS: tuple[AttentionKind, ...] = ("content", "iou", "none")
SCORES = ("AP", "AP50", "AP75")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Score trained detectors with content attention, with IoU-ESA and without self attention."""

    # A dataset.
    data: Positional[Path]
    # Weights with content attention or IoU-ESA, or the folders of such runs.
    weights: Positional[tuple[Path, ...]]
    # The split of it.
    split: Literal["train", "val", "test"] = "val"


def main(argv: Sequence[str]) -> int:
    """Prints a row for each detector and self attention."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.self_attention")
    dataset = getattr(uncrowd.open_dataset(arguments.data), arguments.split)
    if dataset is None:
        raise InputError(f"{arguments.data} has no split {arguments.split}; name another with --split.")
    print(f"{len(dataset)} images; commit {commit()}; {machine()}\n")
    print(f"| weights | self attention | {' | '.join(SCORES)} |\n|---|---|{'---|' * len(SCORES)}")
    for path in arguments.weights:
        for kind in KINDS:
            scores = uncrowd.evaluate(attending(path, kind), dataset).values
            values = [scores[name] for name in SCORES]
            cells = [path.name, kind, *("-" if value is None else f"{100 * value:.1f}" for value in values)]
            print(f"| {' | '.join(cells)} |", flush=True)
    return 0


def attending(path: Path, kind: AttentionKind) -> Predictor:
    """Returns the detector with this self attention. Raises InputError if its weights do not hold what that needs."""
    trained, categories, resize, thresholds = load_weights(path)
    if not isinstance(trained, SparseRCNN) or trained.config.stage.attention not in ("content", "iou"):
        raise InputError(f"{path} has no self attention by content; give weights with content attention or IoU-ESA.")
    config = trained.config
    model = SparseRCNN(replace(config, stage=replace(config.stage, attention=kind)))
    held = trained.state_dict()
    model.load_state_dict({name: held[name] for name in model.state_dict()})
    return Predictor(model, categories, resize, thresholds=thresholds)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(main)
