"""The paper's tables, row by row as printed: the scores a run should reach, and the cost of its model.

Rows of other detectors are left out. None stands for a cell that is empty, or illegible in the text that was available:
- Tables 1 and 2: only one row of each is legible.
- Tables 3 and 4: one AP of each is legible, 90.4 and 43.9, but not which of the two single modules it belongs to. The
  other columns are assigned by position, assuming that the modules come in the order of the header.
- Table 10, last row: AP75 and the AP by size are illegible; the parameters are taken from the paper's text.
"""

from typing import Literal, NamedTuple

Scores = dict[str, float | None]


class PaperRow(NamedTuple):
    """One row of a table.

    table, row: their names in the paper. experiment: the name of the recipe whose result it reports. parameters, macs:
    the cells as printed, such as "97.0M" and "132.9G"; the paper calls the latter FLOPs. scores: in percent, named as
    in `Scores.values`. split, tta: the scored images, and whether test-time augmentation was used.
    """

    table: str
    row: str
    experiment: str
    parameters: str | None
    macs: str | None
    scores: Scores
    split: Literal["val", "test-dev"] = "val"
    tta: bool = False


def rows_of(experiment: str) -> tuple[PaperRow, ...]:
    """Returns the rows that report this recipe, in the order of the tables; none if the paper does not report it."""
    return tuple(row for row in PAPER if row.experiment == experiment)


def _ap(
    ap: float | None,
    ap50: float | None,
    ap75: float | None,
    small: float | None,
    medium: float | None,
    large: float | None,
) -> Scores:
    return {"AP": ap, "AP50": ap50, "AP75": ap75, "APs": small, "APm": medium, "APl": large}


def _crowd(ap: float | None, mmr: float | None, recall: float | None) -> Scores:
    return {"AP": ap, "mMR": mmr, "Recall": recall}


PAPER: tuple[PaperRow, ...] = (
    PaperRow("Table 1", "MSA", "coco-r50-100-sparse-rcnn", None, None, {"AP": None}),
    PaperRow("Table 1", "w/o MSA", "coco-r50-100-no-attention", None, "133.6G", {"AP": 38.5}),
    PaperRow("Table 1", "IoU-MSA", "coco-r50-100-iou-only", None, None, {"AP": None}),
    PaperRow("Table 2", "En. (original)", "coco-r50-100-sparse-rcnn", None, None, {"AP": None}),
    PaperRow("Table 2", "Dis. (half dim)", "coco-r50-100-half", "97.0M", "132.9G", {"AP": 42.7}),
    PaperRow("Table 2", "Dis. (full dim)", "coco-r50-100-full", None, None, {"AP": None}),
    PaperRow("Table 3", "neither", "crowdhuman-r50-500-sparse-rcnn", None, None, _crowd(None, 48.3, 95.9)),
    PaperRow("Table 3", "IoU-ESA", "crowdhuman-r50-500-iou-esa", None, None, _crowd(None, 47.8, 96.7)),
    PaperRow("Table 3", "DCW", "crowdhuman-r50-500-dcw", None, None, _crowd(None, 47.4, 96.3)),
    PaperRow("Table 3", "IoU-ESA, DCW", "crowdhuman-r50-500", None, None, _crowd(None, 47.2, 96.9)),
    PaperRow("Table 4", "neither", "coco-r50-100-sparse-rcnn", None, None, {"AP": None, "AP50": 61.2, "AP75": 45.7}),
    PaperRow("Table 4", "IoU-ESA", "coco-r50-100-iou-esa", None, None, {"AP": None, "AP50": 63.0, "AP75": 47.6}),
    PaperRow("Table 4", "DCW", "coco-r50-100-dcw", None, None, {"AP": None, "AP50": 62.3, "AP75": 47.3}),
    PaperRow("Table 4", "IoU-ESA, DCW", "coco-r50-100", None, None, {"AP": None, "AP50": 63.4, "AP75": 48.3}),
    PaperRow("Table 5", "Sparse R-CNN", "crowdhuman-r50-500-sparse-rcnn", None, None, _crowd(89.2, 48.3, 95.9)),
    PaperRow("Table 5", "ours", "crowdhuman-r50-500", None, None, _crowd(90.9, 47.2, 96.9)),
    PaperRow(
        "Table 6",
        "Sparse R-CNN, Res-50",
        "coco-r50-100-sparse-rcnn",
        "106M",
        "134G",
        _ap(42.8, 61.2, 45.7, 26.7, 44.6, 57.6),
    ),
    PaperRow(
        "Table 6",
        "Sparse R-CNN, Res-101",
        "coco-r101-100-sparse-rcnn",
        "125M",
        "201G",
        _ap(44.1, 62.1, 47.2, 26.1, 46.3, 59.7),
    ),
    PaperRow(
        "Table 6",
        "Sparse R-CNN*, Res-50",
        "coco-r50-300-sparse-rcnn",
        "106M",
        "152G",
        _ap(45.0, 63.4, 48.2, 26.9, 47.2, 59.5),
    ),
    PaperRow(
        "Table 6",
        "Sparse R-CNN*, Res-101",
        "coco-r101-300-sparse-rcnn",
        "125M",
        "219G",
        _ap(46.4, 64.6, 49.5, 28.3, 48.3, 61.6),
    ),
    PaperRow(
        "Table 6",
        "Sparse R-CNN*, Swin-T",
        "coco-swin-t-300-sparse-rcnn",
        "110M",
        "158G",
        _ap(47.9, 67.3, 52.3, None, None, None),
    ),
    PaperRow("Table 6", "ours, Res-50", "coco-r50-100", "133M", "137G", _ap(44.4, 63.4, 48.3, 27.5, 47.1, 58.2)),
    PaperRow("Table 6", "ours, Res-101", "coco-r101-100", "152M", "203G", _ap(45.6, 64.4, 49.8, 27.5, 48.5, 60.2)),
    PaperRow("Table 6", "ours*, Res-50", "coco-r50-300", "133M", "160G", _ap(46.4, 65.8, 50.7, 29.9, 49.0, 60.5)),
    PaperRow("Table 6", "ours*, Res-101", "coco-r101-300", "152M", "227G", _ap(47.5, 66.8, 51.8, 30.4, 50.7, 62.5)),
    PaperRow("Table 6", "ours*, Swin-T", "coco-swin-t-300", "136M", "167G", _ap(49.6, 69.4, 54.4, 33.8, 51.9, 64.4)),
    PaperRow(
        "Table 7",
        "Sparse R-CNN*, ReX-101",
        "coco-resnext101-300-sparse-rcnn",
        None,
        None,
        _ap(46.9, 66.3, 51.2, 28.6, 49.2, 58.7),
        "test-dev",
    ),
    PaperRow(
        "Table 7", "ours, Res-101", "coco-r101-100", None, None, _ap(45.6, 64.9, 49.6, 26.9, 47.9, 58.4), "test-dev"
    ),
    PaperRow(
        "Table 7", "ours*, Res-101", "coco-r101-300", None, None, _ap(47.8, 67.1, 52.3, 29.0, 50.1, 60.4), "test-dev"
    ),
    PaperRow(
        "Table 7",
        "ours, Res-101, TTA",
        "coco-r101-100",
        None,
        None,
        _ap(49.5, 68.7, 54.9, 32.4, 51.5, 61.9),
        "test-dev",
        tta=True,
    ),
    PaperRow(
        "Table 7",
        "ours*, Res-101, TTA",
        "coco-r101-300",
        None,
        None,
        _ap(50.8, 70.2, 56.8, 34.1, 52.7, 63.1),
        "test-dev",
        tta=True,
    ),
    PaperRow(
        "Table 7",
        "ours*, Swin-T, TTA",
        "coco-swin-t-300",
        None,
        None,
        _ap(52.2, 71.9, 58.4, 35.4, 53.7, 65.0),
        "test-dev",
        tta=True,
    ),
    PaperRow("Table 8", "MSA", "crowdhuman-r50-500-sparse-rcnn", None, None, _crowd(88.8, 49.9, 95.8)),
    PaperRow("Table 8", "w/o MSA", "crowdhuman-r50-500-no-attention", None, None, _crowd(81.5, 65.5, 95.5)),
    PaperRow("Table 8", "IoU-MSA", "crowdhuman-r50-500-iou-only", None, None, _crowd(86.8, 54.2, 95.7)),
    PaperRow("Table 9", "En. (original)", "crowdhuman-r50-500-sparse-rcnn", None, None, _crowd(89.2, 48.3, 95.9)),
    PaperRow("Table 9", "Dis. (half dim)", "crowdhuman-r50-500-half", None, None, _crowd(88.6, 49.7, 95.5)),
    PaperRow("Table 9", "Dis. (full dim)", "crowdhuman-r50-500-full", None, None, _crowd(89.1, 48.5, 95.8)),
    PaperRow("Table 10", "DETR", "coco-detr-r50", "41M", "86G", _ap(34.9, 55.5, 35.9, 14.5, 37.6, 53.8)),
    PaperRow(
        "Table 10", "DETR + ours", "coco-detr-r50-iou-esa-dcw", "48M", "86G", _ap(35.4, 56.8, None, None, None, None)
    ),
    PaperRow("Fig. 6", "ours, 1x", "coco-r50-100-12-epochs", None, None, {"AP": None}),
    PaperRow("Fig. 6", "ours, 2x", "coco-r50-100-24-epochs", None, None, {"AP": None}),
    PaperRow("Fig. 6", "Sparse R-CNN, 1x", "coco-r50-100-sparse-rcnn-12-epochs", None, None, {"AP": None}),
    PaperRow("Fig. 6", "Sparse R-CNN, 2x", "coco-r50-100-sparse-rcnn-24-epochs", None, None, {"AP": None}),
)
