"""`uncrowd info`: shows the recipes, one of them in full, the paper's tables, or the contents of a weights file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from string import ascii_lowercase
from typing import Annotated

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from uncrowd import config
from uncrowd.cli.flags import parse
from uncrowd.cli.progress import progress_bar
from uncrowd.errors import InputError
from uncrowd.inference.load import load
from uncrowd.models.build import AnyDetectorConfig
from uncrowd.models.cost import COCO_PIXELS
from uncrowd.paper.rows import PaperRow, rows_of
from uncrowd.paper.tables import Cell, cells, cost
from uncrowd.recipes import EXPERIMENTS, Experiment
from uncrowd.weights import packaged
from uncrowd.weights.packaged import located, own_card
from uncrowd.words import first, nearest

TABLES = "tables"
WIDTH = 130
# First word of a recipe's name -> its dataset; other recipes are for the user's own data.
DATASETS = {"coco": "COCO", "crowdhuman": "CrowdHuman"}
OWN_DATA = "Your own data"


@dataclass(frozen=True, kw_only=True)
class InfoArguments:
    """List the recipes and the detectors that come with uncrowd, or show one, a weights file, or the paper's tables.

    A recipe is shown with all its settings and its scores in the paper, a detector that comes with uncrowd with its
    card: data, scores, and what it cannot do. A weights file or a run is shown with its model, categories,
    preprocessing and the best score thresholds on validation data. The word tables shows the paper's parameters and
    FLOPs beside those computed here.
    """

    # Name of a recipe or of a detector, a weights file (.safetensors, .onnx, .xml), the folder of a run, or the word
    # tables. By default the recipes and the detectors are listed.
    what: Annotated[Positional[str | None], arg(metavar="[NAME|WEIGHTS|tables]", help_behavior_hint="")] = None


def main(argv: Sequence[str]) -> int:
    """Prints a table, a card or JSON."""
    what = parse(InfoArguments, argv, "uncrowd info").what
    if what is None:
        _list_detectors()
        _list_experiments()
    elif what == TABLES:
        _compare_tables()
    elif what in EXPERIMENTS:
        print(json.dumps(_of_experiment(EXPERIMENTS[what]()), indent=2))
    elif what in packaged.detectors() and (card := own_card(located(Path(what)))) is not None:
        print(_without_metadata(card.read_text(encoding="utf-8")), end="")
    elif located(Path(what)).exists():
        print(json.dumps(_of_weights(Path(what)), indent=2))
    else:
        raise InputError(
            f"{what} is not an existing file or folder, not the word {TABLES}, and nothing that "
            f"`uncrowd info` lists{nearest(what, (*EXPERIMENTS, *packaged.detectors()))}."
        )
    return 0


def _without_metadata(card: str) -> str:
    """Returns a model card without the YAML between two lines of dashes on its top, which is for the Hub."""
    return card.split("---\n", 2)[2].lstrip() if card.startswith("---\n") else card


def _of_experiment(experiment: Experiment) -> dict[str, object]:
    counted = cost(experiment.model)
    return {
        "experiment": config.to_dict(experiment),
        "parameters": counted.parameters,
        "macs_a_coco_image": round(counted.macs_at(COCO_PIXELS)),
        "paper": [row._asdict() for row in rows_of(experiment.name)],
    }


def _of_weights(path: Path) -> dict[str, object]:
    predictor = load(path, "cpu")
    model = predictor.model.config
    assert isinstance(model, AnyDetectorConfig)
    return {
        "model": config.to_dict(model),
        "parameters": cost(model).parameters,
        "categories": dict(zip(map(str, predictor.categories.ids), predictor.categories.names, strict=True)),
        "preprocessing": config.to_dict(predictor.resize),
        "thresholds": None if predictor.thresholds is None else config.to_dict(predictor.thresholds),
    }


def _list_experiments() -> None:
    rows = {}
    with progress_bar("counting parameters and MACs") as on_counted:  # slow, because it builds each model
        for name, build in EXPERIMENTS.items():
            rows[name] = _listed(build())
            on_counted(len(rows), len(EXPERIMENTS))
    console = Console(width=WIDTH)
    for dataset, names in groupby(EXPERIMENTS, key=lambda name: DATASETS.get(name.partition("-")[0], OWN_DATA)):
        table = Table(title=dataset, title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
        for column, width in (("recipe", 34), ("backbone", 16), ("attention", 9), ("features", 9)):
            table.add_column(column, no_wrap=True, width=width)
        for column, width in (("proposals", 9), ("epochs", 6), ("params", 6), ("GMACs*", 6)):
            table.add_column(column, justify="right", no_wrap=True, width=width)
        for column, width in (("paper's AP", 15), ("table", 10)):
            table.add_column(column, no_wrap=True, width=width)
        for name in names:
            table.add_row(*rows[name])
        console.print(table, "")
    console.print("* billions of multiply-accumulates for an average image of COCO's validation set")
    console.print("  the paper's AP: another score if AP is illegible in the paper, - if no score is legible")
    console.print("  `uncrowd info NAME` shows all settings of a recipe and its scores in the paper")


def _list_detectors() -> None:
    """Prints the detectors that come with the package, if there are any."""
    if not packaged.detectors():
        return
    table = Table(title="Detectors that come with uncrowd", title_justify="left", box=SIMPLE_HEAD, show_edge=False)
    for column in ("name", "classes", "file"):
        table.add_column(column)
    for name, file in packaged.detectors().items():
        table.add_row(name, first(load(file, "cpu").categories.names, 10), f"{file.stat().st_size / 1e6:.1f} MB")
    console = Console(width=WIDTH)
    console.print(table, "")
    print("`uncrowd predict NAME IMAGES` detects with one, `uncrowd info NAME` shows its data and scores.\n")


def _listed(experiment: Experiment) -> list[str]:
    model, counted, rows = experiment.model, cost(experiment.model), rows_of(experiment.name)
    return [
        experiment.name,
        model.backbone.name.partition(".")[0],
        *model.modules,
        str(model.proposals),
        str(experiment.train.epochs),
        f"{counted.parameters / 1e6:.1f}M",
        f"{counted.macs_at(COCO_PIXELS) / 1e9:.0f}",
        _expected(rows),
        ", ".join(dict.fromkeys(row.table.removeprefix("Table ") for row in rows)) or "-",
    ]


def _expected(rows: Sequence[PaperRow]) -> str:
    """Returns AP on validation (all values if tables disagree), else AP on another split, else any known score."""
    aps = {(row.split, row.scores["AP"]): None for row in rows if row.scores["AP"] is not None and not row.tta}
    if on_val := [str(ap) for split, ap in aps if split == "val"]:
        return " or ".join(on_val)
    if aps:
        return " or ".join(f"{ap} ({split})" for split, ap in aps)
    return next((f"{name} {score}" for row in rows for name, score in row.scores.items() if score is not None), "-")


def _compare_tables() -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in ("table", "row", "recipe"):
        table.add_column(column, no_wrap=True)
    for column in ("params, paper", "here", "diff.", "FLOPs, paper", "here", "diff."):
        table.add_column(column, justify="right", no_wrap=True)
    reasons: list[str] = []
    by_row = groupby(cells(), key=lambda cell: (cell.table, cell.row, cell.experiment))
    for where, row in by_row:
        table.add_row(*where, *(text for cell in row for text in _compared(cell, reasons)))
    console = Console(width=WIDTH)
    console.print(table)
    console.print(
        "= differs by rounding of the paper's number only; - a cell that is illegible in the paper", highlight=False
    )
    for number, reason in enumerate(reasons):
        console.print(f"{_mark(number)} {reason}", highlight=False)


def _compared(cell: Cell, reasons: list[str]) -> list[str]:
    """Returns the texts of a cell's three columns; adds to `reasons` why a number differs by more than rounding."""
    unit = "M" if cell.column == "Params" else "G"
    here = f"{cell.computed:.1f}{unit}"
    if cell.printed is None or cell.difference is None:
        return ["-", here, "-"]
    mark = "=" if cell.agrees else "!"
    if cell.deviation is not None:
        if cell.deviation.reason not in reasons:
            reasons.append(cell.deviation.reason)
        mark = _mark(reasons.index(cell.deviation.reason))
    return [cell.printed, here, f"{round(cell.difference, 2) + 0:+.2f} {mark}"]  # + 0 turns -0.00 into 0.00


def _mark(reason: int) -> str:
    return ascii_lowercase[reason]
