"""Learning curves: the AP on the validation split against images seen, over seeds."""

from collections.abc import Sequence

import numpy as np
from benchmarks.claims.study import TAIL, Estimate, Record, Study, draw_seeds
from jaxtyping import Float64, Int64

RESAMPLES = 1000


def curve(records: Sequence[Record]) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, "seeds n"]]:
    """Returns the images seen at each evaluation, and the AP of each seed there; an AP that is not defined counts as 0.

    Lines of one dataset and budget are scored after the same numbers of images.
    """
    images = [[each["images"] for each in record["evaluations"]] for record in records]
    assert all(each == images[0] for each in images), "lines of one dataset and budget are scored at the same steps"
    return np.array(images[0]), np.array([[each["AP"] or 0.0 for each in record["evaluations"]] for record in records])


def images_to_reach(target: float, images: Int64[np.ndarray, " n"], ap: Float64[np.ndarray, " n"]) -> float:
    """Returns after how many images the AP first reaches the target, linearly between evaluations; inf if never.

    Where the first evaluation has already reached it, that is an upper bound.
    """
    reached = np.flatnonzero(ap >= target)
    if not len(reached):
        return np.inf
    last = int(reached[0])
    if last == 0:
        return float(images[0])
    share = (target - ap[last - 1]) / (ap[last] - ap[last - 1])
    return float(images[last - 1] + share * (images[last] - images[last - 1]))


def share_of_images(study: Study, detector: str, baseline: str) -> Estimate | None:
    """Returns the images that a detector needs to reach the baseline's last AP, as a share of those the baseline saw.

    Curves are means over the seeds that both have, which the bootstrap draws; None without such seeds.
    """
    seeds = study.seeds([detector, baseline])
    if not seeds:
        return None
    images, ours = curve([study.records[detector][seed] for seed in seeds])
    _, theirs = curve([study.records[baseline][seed] for seed in seeds])

    def share(rows: Int64[np.ndarray, " k"]) -> float:
        return images_to_reach(theirs[rows, -1].mean(), images, ours[rows].mean(axis=0)) / images[-1]

    shares = [share(rows) for rows in draw_seeds(len(seeds), RESAMPLES)]
    # No value between two is taken, because one of them may be infinite.
    lower, upper = np.quantile(shares, [TAIL, 1 - TAIL], method="nearest")
    return Estimate(share(np.arange(len(seeds))), float(lower), float(upper))


def ap_at(images: float, seen: Int64[np.ndarray, " n"], ap: Float64[np.ndarray, " n"]) -> float:
    """Returns the AP after so many images, linearly between evaluations, beginning with 0 at none."""
    return float(np.interp(images, [0, *seen], [0.0, *ap]))
