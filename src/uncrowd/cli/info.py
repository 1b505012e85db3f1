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
from uncrowd.models.build import AnyDetectorConfig, build_detector
from uncrowd.models.cost import COCO_PIXELS, Cost, measure

COUNTED_SIZE = (800, 1120)  # network pixels; a picture of another size costs in proportion


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
        config_of_model = predictor.model.config
        assert isinstance(config_of_model, AnyDetectorConfig)
        held = {
            "model": config.to_dict(predictor.model.config),
            "parameters": cost(config_of_model).parameters,
            "categories": dict(zip(map(str, predictor.categories.ids), predictor.categories.names, strict=True)),
            "preprocessing": config.to_dict(predictor.resize),
        }
        print(json.dumps(held, indent=2))
    else:
        names = ", ".join(EXPERIMENTS)
        raise InputError(f"{arguments.what} is neither an experiment ({names}) nor a file or folder that exists.")
    return 0


def cost(model: AnyDetectorConfig) -> Cost:
    """Returns what the model costs, without allocating any of it."""
    with torch.device("meta"):
        built = build_detector(model)
    return measure(built, *COUNTED_SIZE)


def _list_experiments() -> None:
    table = Table()
    table.add_column("experiment", no_wrap=True)
    columns = ("backbone", "proposals", "stages", "attention", "interaction", "epochs")
    for column in (*columns, "parameters", "GMACs a COCO picture"):
        table.add_column(column)
    for name, build in EXPERIMENTS.items():
        experiment = build()
        model = experiment.model
        costs = cost(model)
        table.add_row(
            name,
            model.backbone.name,
            str(model.proposals),
            str(model.stages),
            model.stage.attention,
            model.stage.interaction,
            str(experiment.train.epochs),
            f"{costs.parameters / 1e6:.1f}M",
            f"{costs.macs_at(COCO_PIXELS) / 1e9:.0f}",
        )
    Console(width=130).print(table)
