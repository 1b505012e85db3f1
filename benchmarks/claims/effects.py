"""The effects of IoU-ESA and DCW in a 2 x 2 factorial, here and in the paper."""

from collections.abc import Mapping
from typing import NamedTuple

from uncrowd.paper.rows import PAPER

YARDSTICK = "small-data-1"
# As the rows of the paper's Tables 3 and 4: neither, IoU-ESA, DCW, both.
CORNERS = tuple(
    f"{YARDSTICK}-{modules}" for modules in ("content-entangled", "iou-entangled", "content-dcw", "iou-dcw")
)
BASELINE, FULL = CORNERS[0], CORNERS[-1]
# What the yardstick's detectors are called where they stand beside others.
IN_WORDS = dict(zip(CORNERS, ("Sparse R-CNN", "+ IoU-ESA", "+ DCW", "+ IoU-ESA + DCW"), strict=True))
# The weights of the corners. An effect is the mean of both differences that show it, and the interaction is by how much
# the one effect is larger where the other module is there.
EFFECTS = {
    "IoU-ESA": (-0.5, 0.5, -0.5, 0.5),
    "DCW": (-0.5, -0.5, 0.5, 0.5),
    "interaction": (1, -1, -1, 1),
    "both": (-1, 0, 0, 1),
}

_COCO = ("coco-r50-100-sparse-rcnn", "coco-r50-100-iou-esa", "coco-r50-100-dcw", "coco-r50-100")
_CROWDHUMAN = (
    "crowdhuman-r50-500-sparse-rcnn",
    "crowdhuman-r50-500-iou-esa",
    "crowdhuman-r50-500-dcw",
    "crowdhuman-r50-500",
)
# The modules of a detector -> what the paper's recipe with them is called.
_ABLATIONS = {
    "none-entangled": "no-attention",
    "iou-only-entangled": "iou-only",
    "content-half": "half",
    "content-full": "full",
}
# Our score -> the paper's recipes at the corners, and its name there.
_PRINTED = {
    **{name: (_COCO, name) for name in ("AP", "AP50", "AP75")},
    "crowd AP": (_CROWDHUMAN, "AP"),
    **{name: (_CROWDHUMAN, name) for name in ("mMR", "Recall")},
}


class PaperEffect(NamedTuple):
    """An effect in percentage points, and the tables that it was computed from."""

    value: float
    tables: str


def weights(effect: str) -> dict[str, float]:
    """Returns the weight of each corner that counts for an effect."""
    return {corner: weight for corner, weight in zip(CORNERS, EFFECTS[effect], strict=True) if weight}


def paper_effect(effect: str, score: str) -> PaperEffect | None:
    """Returns the paper's effect; None where no table has all of its cells."""
    if score not in _PRINTED:
        return None
    recipes, name = _PRINTED[score]
    return _sum({recipe: weight for recipe, weight in zip(recipes, EFFECTS[effect], strict=True) if weight}, name)


def paper_difference(modules: str, score: str) -> PaperEffect | None:
    """Returns what the paper's detector with other modules, such as none-entangled, has more than Sparse R-CNN."""
    if score not in _PRINTED or modules not in _ABLATIONS:
        return None
    (baseline, *_), name = _PRINTED[score]
    family = baseline.removesuffix("-sparse-rcnn")
    return _sum({f"{family}-{_ABLATIONS[modules]}": 1, baseline: -1}, name)


def _sum(recipes: Mapping[str, float], score: str) -> PaperEffect | None:
    """Returns the weighted sum of the scores of recipes, from one table if one has them all."""
    rows = [row for row in PAPER if row.split == "val" and row.scores.get(score) is not None]
    tables = {row.table: {each.experiment: each for each in rows if each.table == row.table} for row in rows}
    anywhere = {row.experiment: row for row in reversed(rows)}  # the first of each recipe
    for printed in (*tables.values(), anywhere):
        if recipes.keys() <= printed.keys():
            cells = {recipe: printed[recipe].scores[score] or 0.0 for recipe in recipes}
            value = sum(weight * cells[recipe] for recipe, weight in recipes.items())
            names = sorted({printed[recipe].table for recipe in recipes})
            return PaperEffect(round(value, 6), ", ".join(names))
    return None
