"""The parameter and FLOP columns of the paper's tables, counted on the models here, beside what is printed there."""

from dataclasses import replace
from functools import cache
from typing import Literal, NamedTuple

import torch

from uncrowd.models.build import AnyDetectorConfig, build_detector
from uncrowd.models.cost import COCO_PIXELS, Cost, measure
from uncrowd.models.detector import Detector
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.paper.rows import PAPER
from uncrowd.recipes import EXPERIMENTS

# The tables with such columns.
COUNTED = ("Table 1", "Table 2", "Table 6", "Table 10")
COUNTED_SIZE = (800, 1120)  # network pixels; the counts of another size are in proportion
UNITS = {"M": 1e6, "G": 1e9}


class Deviation(NamedTuple):
    """How far a cell may lie from the printed one, in the unit of the column, and why."""

    most: float
    reason: str


# By experiment and column: what another way of counting explains.
DEVIATIONS = {
    ("coco-swin-t-300", "FLOPs"): Deviation(
        1.5, "windows are padded, so the count depends on the shapes of the images it is averaged over"
    ),
    ("coco-detr-r50", "Params"): Deviation(0.6, "DETR's own figure leaves out what is frozen, 0.2M of the backbone"),
    ("coco-detr-r50", "FLOPs"): Deviation(0.7, "DETR's own figure, by another counter and over 100 other images"),
}


class Cell(NamedTuple):
    """One cell. printed: as in the paper, None where it cannot be read. computed: in the unit of the column.

    The paper's FLOPs are multiply-accumulates, in thousand millions (G); parameters are in millions (M).
    """

    table: str
    row: str
    experiment: str
    column: Literal["Params", "FLOPs"]
    printed: str | None
    computed: float

    @property
    def difference(self) -> float | None:
        """Computed minus printed."""
        return None if self.printed is None else self.computed - float(self.printed[:-1])

    @property
    def agrees(self) -> bool | None:
        """Whether the difference is no more than the rounding of the printed number; None where none can be read."""
        if self.printed is None:
            return None
        decimals = len(self.printed[:-1].partition(".")[2])
        return round(self.computed, decimals) == float(self.printed[:-1])

    @property
    def deviation(self) -> Deviation | None:
        """What is known of the difference where it is more than rounding."""
        return DEVIATIONS.get((self.experiment, self.column)) if self.agrees is False else None


@cache
def cost(model: AnyDetectorConfig) -> Cost:
    """Returns what the model costs, without allocating any of it.

    The stages of a Sparse R-CNN are alike, so that one is run and stands for all: it saves most of the time.
    """
    if isinstance(model, SparseRCNNConfig) and model.stages > 1:
        one = cost(replace(model, stages=1))
        return Cost(
            parameters=sum(parameter.numel() for parameter in _on_meta(model).parameters()),
            macs={**one.macs, "head": model.stages * one.macs["head"]},
            pixels=one.pixels,
        )
    return measure(_on_meta(model), *COUNTED_SIZE)


def _on_meta(model: AnyDetectorConfig) -> Detector:
    with torch.device("meta"):
        return build_detector(model)


def cells() -> list[Cell]:
    """Both cells of each row, in the order of the paper. Takes some seconds the first time."""
    found = []
    for row in PAPER:
        if row.table in COUNTED:
            counted = cost(EXPERIMENTS[row.experiment]().model)
            where = (row.table, row.row, row.experiment)
            found.append(Cell(*where, "Params", row.parameters, counted.parameters / UNITS["M"]))
            found.append(Cell(*where, "FLOPs", row.macs, counted.macs_at(COCO_PIXELS) / UNITS["G"]))
    return found
