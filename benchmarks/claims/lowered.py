"""What our detectors score when the scores of duplicates are lowered, or with Soft-NMS, from the kept detections alone.

The power was chosen on validation images; see docs/results/queries.md. Each detector kept as many detections as it has
proposals, so nothing is missing that lowering could bring up.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from benchmarks.claims.resampled import scorer
from benchmarks.claims.run import IOUS
from benchmarks.claims.study import Study
from benchmarks.claims.suppression import soft_nms
from benchmarks.claims.tables import called, cell, from_lines, markdown

from uncrowd.data.dataset import DetectionDataset
from uncrowd.models.decode import lower_duplicates
from uncrowd.structures import Decoded, Detections, ImageId

POWER = 3.0
SHOWN = ("AP", "AP50", "AP75", "JI", "found at 0.5", "found at 0.75")
# Ranks the detections of an image anew.
Way = Callable[[Detections], Detections]


def lowered_table(study: Study, scored: Callable[[str, Way], Mapping[str, float]]) -> str:
    """Returns the mean of each score over the seeds of each of our detectors, in three ways.

    They are: as it is, with duplicates lowered, and with the Soft-NMS that torchvision's detectors have.

    scored: what a line, by its name, scores on its test split when its kept detections are ranked in a way.
    """
    rows = []
    for detector in study.ours:
        runs = study.records[detector]
        before = [{name: values[0] for name, values in study.resampled[detector][seed].items()} for seed in runs]
        names = [record["name"] for record in runs.values()]
        after = [[scored(name, way) for name in names] for way in (lowered, soft_nms)]
        for way, scores in zip(("as it is", "lowered", "Soft-NMS"), (before, *after), strict=True):
            means = {name: float(np.mean([each[name] for each in scores])) for name in SHOWN if name in before[0]}
            cells = [cell(name, means.get(name, np.nan)) for name in SHOWN]
            rows.append([f"{called(detector)}, {way}", str(len(runs)), *cells])
    head = ["detector", "seeds", "AP", "AP50", "AP75", "JI", "overlapped > .5 found, IoU .5", "the same, IoU .75"]
    return f"{markdown(head, rows)}\n\n{from_lines(study, study.ours)}"


def lowered(found: Detections, *, power: float = POWER) -> Detections:
    """Returns the detections of an image, best first, after those of duplicates were lowered."""
    one = lower_duplicates(Decoded(found.boxes[None], found.scores[None], found.labels[None]), power)
    return replace(found, boxes=one.boxes[0], scores=one.scores[0], labels=one.labels[0])


def score_ranked(test: DetectionDataset, found: Mapping[ImageId, Detections], way: Way) -> dict[str, float]:
    """Returns the scores of kept detections after each image's were ranked anew."""
    ranked = {id: way(each) for id, each in found.items()}
    score = scorer(list(test), ranked, test.categories, ious=IOUS, threshold=None)
    return score(np.ones(len(test), dtype=np.int64))
