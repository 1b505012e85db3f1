"""`uncrowd info`: the experiments, or what a weights file holds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table

from uncrowd import config
from uncrowd.experiments import EXPERIMENTS
from uncrowd.inference.predictor import load
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig


@dataclass(frozen=True, kw_only=True)
class InfoArguments:
    """List the experiments; with a name, all its settings; with a weights file or a run, what it holds."""

    # An experiment's name, a weights file (.safetensors), or a run's folder.
    what: tyro.conf.Positional[str | None] = None


def main(argv: Sequence[str]) -> int:
    """Prints a table, or JSON."""
    arguments = tyro.cli(InfoArguments, args=list(argv), prog="uncrowd info")
    if arguments.what is None:
        _list_experiments()
    elif arguments.what in EXPERIMENTS:
        print(json.dumps(config.to_dict(EXPERIMENTS[arguments.what]()), indent=2))
    else:
        predictor = load(Path(arguments.what), "cpu")
        held = {
            "model": config.to_dict(predictor.model.config),
            "parameters": count_parameters(predictor.model.config),
            "categories": dict(zip(map(str, predictor.categories.ids), predictor.categories.names, strict=True)),
            "preprocessing": config.to_dict(predictor.resize),
        }
        print(json.dumps(held, indent=2))
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
