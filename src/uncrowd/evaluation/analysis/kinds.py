"""Counts errors by kind and what each kind costs, as TIDE defines them (arXiv:2008.08115)."""

from dataclasses import dataclass

import hotcoco

# A detection on no object by more than this IoU is on the background.
BACKGROUND_IOU = 0.1

# TIDE's name -> ours and its meaning.
_KINDS = {
    "Miss": ("missed", "objects that no right, badly placed or wrongly classed detection is on"),
    "Loc": ("badly placed", "right class, but the IoU with the object is only 0.1 to 0.5"),
    "Dupe": ("duplicated", "further detections of an object that a better one has found"),
    "Cls": ("wrong class", "well placed on an object of another class"),
    "Both": ("both", "wrong class, and badly placed"),
    "Bkg": ("background", "on no object: the IoU with each is below 0.1"),
}
# These need a second class.
_OF_SEVERAL_CLASSES = ("Cls", "Both")


@dataclass(frozen=True, kw_only=True)
class ErrorKind:
    """One kind of error.

    number: how often it occurs above the threshold. ap_cost: by how much AP at IoU 0.5 over all detections would rise
    without it; None without objects. The costs of the kinds do not add up, because correcting one changes the others.
    """

    name: str
    meaning: str
    number: int
    ap_cost: float | None


def error_kinds(
    everything: hotcoco.COCOeval, above_threshold: hotcoco.COCOeval, *, classes: int, objects: int
) -> tuple[ErrorKind, ...]:
    """Returns the kinds of errors; with a single class, those that a class can have.

    everything, above_threshold: the matching of all detections, and of those that count at the threshold.
    """
    costs = everything.tide_errors(pos_thr=0.5, bg_thr=BACKGROUND_IOU)["delta_ap"]
    counts = above_threshold.tide_errors(pos_thr=0.5, bg_thr=BACKGROUND_IOU)["counts"]
    return tuple(
        ErrorKind(name=name, meaning=meaning, number=counts[key], ap_cost=costs[key] if objects else None)
        for key, (name, meaning) in _KINDS.items()
        if classes > 1 or key not in _OF_SEVERAL_CLASSES
    )
