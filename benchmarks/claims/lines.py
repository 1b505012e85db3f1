"""The lines of the claims in the order in which they are run."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

from benchmarks.claims.datasets import APART, BCCD, CROWDED, FEW_IMAGES, LARGE, LESS_CROWDED
from benchmarks.claims.dense import (
    ALONE,
    BESIDE,
    CHOICES,
    DENSE,
    DENSE_AT_RANDOM,
    DENSE_ENTANGLED,
    DENSE_PASTE,
    DENSE_PASTE_OWN,
    DENSE_TO_ONE,
    LEARNED,
)
from benchmarks.claims.nuclei import ComposedNuclei
from benchmarks.claims.nuclei_images import NucleiImages
from benchmarks.claims.ours import OurDetector, small_data_1, small_data_1_wide, with_zero_deltas
from benchmarks.claims.rates import rate_lines
from benchmarks.claims.settings import BRIEF, LONG, SHORT, Budget, Dataset, Detector, Line
from benchmarks.claims.torchvision_peers import TorchvisionDetector
from benchmarks.claims.yolo import Yolo

from uncrowd.models.interaction import InteractionKind
from uncrowd.models.self_attention import AttentionKind
from uncrowd.recipes import Experiment

ATTENTIONS: tuple[AttentionKind, ...] = ("content", "none", "iou_only", "iou")
INTERACTIONS: tuple[InteractionKind, ...] = ("entangled", "half", "full", "dcw")


def _corners(recipe: Experiment) -> list[OurDetector]:
    """Returns the paper's Tables 3 and 4 as a 2 x 2 factorial; the last has both modules."""
    attentions: tuple[AttentionKind, ...] = ("content", "iou")
    interactions: tuple[InteractionKind, ...] = ("entangled", "dcw")
    modules = product(attentions, interactions)
    return [OurDetector(attention=attention, interaction=each, recipe=recipe) for attention, each in modules]


CORNERS = _corners(small_data_1())
# The same with stages that begin by keeping their boxes.
ZERO = _corners(with_zero_deltas(small_data_1()))
PEERS: list[Detector] = [TorchvisionDetector(kind="faster-rcnn"), TorchvisionDetector(kind="fcos"), Yolo()]


def all_lines() -> list[Line]:
    """Returns all lines, the first to run first; each row of the order seed by seed.

    All peers are in the long row, although the best one would do, so that no score on a test split decides what runs.
    """
    pasted = _row([NucleiImages()], [DENSE, DENSE_PASTE, DENSE_PASTE_OWN], SHORT, seeds=2)
    return [
        *_row([CROWDED], CORNERS, SHORT, seeds=4),
        *(line for peer in PEERS for line in rate_lines(peer)),
        *_row([CROWDED], PEERS, SHORT, seeds=3),
        *_row([CROWDED], [DENSE, DENSE_ENTANGLED, BESIDE, ALONE, LEARNED, DENSE_TO_ONE, *ZERO[::-1]], SHORT, seeds=3),
        *_row([CROWDED], [DENSE_AT_RANDOM], SHORT, seeds=1),
        *_row([BCCD, ComposedNuclei()], [CORNERS[-1], DENSE, DENSE_TO_ONE, *PEERS], SHORT, seeds=2),
        *_row([FEW_IMAGES], [DENSE_TO_ONE], BRIEF, seeds=3),
        *_row([FEW_IMAGES], [DENSE_TO_ONE], SHORT, seeds=3),
        *pasted,
        *_asked(ComposedNuclei(), pasted),
        *_row([NucleiImages()], [LEARNED, PEERS[0]], SHORT, seeds=2),
        *_row([CROWDED], [DENSE, *CORNERS, *PEERS], LONG, seeds=2),
        *_row([APART, LESS_CROWDED], CORNERS, SHORT, seeds=3),
        *_asked(LARGE, _row([CROWDED], [DENSE], SHORT, seeds=2)),
        *_row([LARGE], [CORNERS[-1], DENSE, *PEERS], SHORT, seeds=2),
        *_row([LARGE, BCCD, ComposedNuclei()], CORNERS[:1], SHORT, seeds=2),
        *_row([CROWDED], CHOICES, SHORT, seeds=3),
        *_row([BCCD, ComposedNuclei()], CHOICES[:1], SHORT, seeds=1),
        *_row([CROWDED], _rest_of_the_grid(), SHORT, seeds=3),
        *rate_lines(DENSE_TO_ONE),
        *rate_lines(CORNERS[-1]),
    ]


def _rest_of_the_grid() -> list[Detector]:
    """Returns every other attention with every other interaction, and the control with as many parameters as DCW."""
    grid = [OurDetector(attention=attention, interaction=each) for attention, each in product(ATTENTIONS, INTERACTIONS)]
    wide = OurDetector(attention="content", interaction="entangled", recipe=small_data_1_wide())
    return [*(detector for detector in grid if detector not in CORNERS), wide]


def _asked(dataset: Dataset, lines: Iterable[Line]) -> list[Line]:
    """Returns for each line one that detects in the test split of another dataset with what that line trained."""
    return [replace(line, dataset=dataset, trained_on=line.dataset) for line in lines]


def _row(datasets: Iterable[Dataset], detectors: Iterable[Detector], budget: Budget, *, seeds: int) -> list[Line]:
    return [
        Line(dataset=dataset, detector=detector, budget=budget, seed=seed)
        for seed, dataset, detector in product(range(seeds), datasets, detectors)
    ]
