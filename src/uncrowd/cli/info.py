"""`uncrowd info`: the experiments, or what a weights file holds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from uncrowd import config
from uncrowd.cli.flags import parse
from uncrowd.errors import InputError
from uncrowd.experiments import EXPERIMENTS
from uncrowd.inference.predictor import load
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig


@dataclass(frozen=True, kw_only=True)
class InfoArguments:
    """List the experiments; with a name, all its settings; with a weights file or a run, what it holds."""

    # An experiment's name, a weights file (.safetensors), or a run's folder; nothing lists the experiments.
    what: Annotated[Positional[str | None], arg(metavar="[NAME|WEIGHTS]", help_behavior_hint="")] = None


def main(argv: Sequence[str]) -> int:
    """Prints a table, or JSON."""
    arguments = parse(InfoArguments, argv, "uncrowd info")
    if arguments.what is None:
        _list_experiments()
    elif arguments.what in EXPERIMENTS:
        print(json.dumps(config.to_dict(EXPERIMENTS[arguments.what]()), indent=2))
    elif Path(arguments.what).exists():
        predictor = load(Path(arguments.what), "cpu")
        held = {
            "model": config.to_dict(predictor.model.config),
            "parameters": count_parameters(predictor.model.config),
            "categories": dict(zip(map(str, predictor.categories.ids), predictor.categories.names, strict=True)),
            "preprocessing": config.to_dict(predictor.resize),
        }
        print(json.dumps(held, indent=2))
    else:
        names = ", ".join(EXPERIMENTS)
        raise InputError(f"{arguments.what} is neither an experiment ({names}) nor a file or folder that exists.")
    return 0


def count_parameters(model: SparseRCNNConfig) -> int:
    """Returns the number of parameters, frozen ones included, without allocating any."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in SparseRCNN(model).parameters())


def _list_experiments() -> None:
    table = Table("experiment", "backbone", "proposals", "stages", "attention", "interaction", "epochs", "parameters")
    for name, build in EXPERIMENTS.items():
        experiment = build()
        model = experiment.model
        table.add_row(
            name,
            model.backbone.name,
            str(model.proposals),
            str(model.stages),
            model.stage.attention,
            model.stage.interaction,
            str(experiment.train.epochs),
            f"{count_parameters(model) / 1e6:.1f}M",
        )
    Console(width=130).print(table)
