"""The parameters and FLOPs of the models here, beside those printed in the paper's tables."""

from dataclasses import replace
from functools import cache
from typing import Literal, NamedTuple

import torch

from uncrowd.models.build import AnyDetectorConfig, build_detector
from uncrowd.models.cost import COCO_PIXELS, Cost, measure, number_of_parameters
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.models.stage import DynamicHead
from uncrowd.paper.rows import PAPER
from uncrowd.recipes import EXPERIMENTS

# The tables that have such columns.
COUNTED = ("Table 1", "Table 2", "Table 6", "Table 10")
COUNTED_SIZE = (800, 1120)  # network pixels; counts grow in proportion to the pixels
UNITS = {"M": 1e6, "G": 1e9}


class Deviation(NamedTuple):
    """How much a computed number may differ from the printed one, in the unit of the column, and why."""

    most: float
    reason: str


# (recipe, column) -> a difference that comes from counting in another way.
DEVIATIONS = {
    ("coco-swin-t-300", "FLOPs"): Deviation(
        1.5, "windows are padded, so the count depends on the shapes of the images over which it is averaged"
    ),
    ("coco-detr-r50", "Params"): Deviation(0.6, "DETR's own count leaves out frozen parameters, 0.2M of the backbone"),
    ("coco-detr-r50", "FLOPs"): Deviation(0.7, "DETR's own count used another counter and 100 other images"),
}


class Cell(NamedTuple):
    """One cell of a table.

    printed: as in the paper; None if it is illegible. computed: the number here, in the unit of the column: millions
    (M) of parameters, or billions (G) of multiply-accumulates, which the paper calls FLOPs.
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
        """Whether the printed number is the computed one, rounded; None if no printed number is legible."""
        if self.printed is None:
            return None
        decimals = len(self.printed[:-1].partition(".")[2])
        return round(self.computed, decimals) == float(self.printed[:-1])

    @property
    def deviation(self) -> Deviation | None:
        """The known reason for a difference by more than rounding."""
        return DEVIATIONS.get((self.experiment, self.column)) if self.agrees is False else None


@cache
def cost(model: AnyDetectorConfig) -> Cost:
    """Returns the cost of the model without allocating its weights.

    The stages of a Sparse R-CNN cost the same, so a model with one is built and run, which saves most of the time.
    """
    if not isinstance(model, SparseRCNNConfig) or model.stages < 2:
        with torch.device("meta"):
            built = build_detector(model)
        return measure(built, *COUNTED_SIZE)
    of_one = cost(replace(model, stages=1))
    with torch.device("meta"):
        one, all_ = (DynamicHead(model.stage, stages, model.num_classes) for stages in (1, model.stages))
    return Cost(
        parameters=of_one.parameters + number_of_parameters(all_) - number_of_parameters(one),
        macs={**of_one.macs, "head": model.stages * of_one.macs["head"]},
        pixels=of_one.pixels,
    )


def cells() -> list[Cell]:
    """Returns both cells of each row, in the order of the paper. The first call takes some seconds."""
    found = []
    for row in PAPER:
        if row.table in COUNTED:
            counted = cost(EXPERIMENTS[row.experiment]().model)
            where = (row.table, row.row, row.experiment)
            found.append(Cell(*where, "Params", row.parameters, counted.parameters / UNITS["M"]))
            found.append(Cell(*where, "FLOPs", row.macs, counted.macs_at(COCO_PIXELS) / UNITS["G"]))
    return found
