"""The lines of the claims in the order in which they are run."""

from benchmarks.claims.datasets import DrawnCrowds
from benchmarks.claims.ours import OurDetector
from benchmarks.claims.settings import SHORT, Line

SEEDS = range(4)


def all_lines() -> list[Line]:
    """Returns all lines, the first to run first: the paper's Tables 3 and 4 as a 2 x 2 factorial, seed by seed."""
    return [
        Line(
            dataset=DrawnCrowds(overlap=0.5),
            detector=OurDetector(attention=attention, interaction=interaction),
            budget=SHORT,
            seed=seed,
        )
        for seed in SEEDS
        for attention in ("content", "iou")
        for interaction in ("entangled", "dcw")
    ]
