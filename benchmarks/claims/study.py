"""The finished lines of one dataset and budget, and what a bootstrap says of them.

The bootstrap draws seeds and images together, each with replacement, and always the same ones for all detectors, so
that a difference is one between runs with the same seed on the same images. Its interval reaches from the 2.5th to the
97.5th percentile. With few seeds it is too narrow: with four, by about a seventh.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from benchmarks.claims.resampled import Drawn, Scored
from jaxtyping import Float64, Int64

TAIL = 0.025
# A comparison with a baseline below this AP50 counts for nothing.
WEAK = 0.5

Record = Mapping[str, Any]
# How a line scores when the images are drawn.
Scorer = Callable[[Drawn], Scored]


class Estimate(NamedTuple):
    """A mean over seeds, and the ends of its 95 % interval."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """The finished lines of one dataset and budget.

    records: by detector and seed. resampled: for the same keys, each score on all images, followed by those of the
    resamples.
    """

    dataset: str
    budget: str
    records: Mapping[str, Mapping[int, Record]]
    resampled: Mapping[str, Mapping[int, Mapping[str, Float64[np.ndarray, " 1+resamples"]]]]

    def seeds(self, detectors: Iterable[str]) -> list[int]:
        """Returns the seeds that all of these detectors were run with."""
        return sorted(set.intersection(*(set(self.records.get(each, {})) for each in detectors)))

    def contrast(self, weights: Mapping[str, float], score: str) -> Estimate | None:
        """Returns the weighted sum of a score of some detectors, over the seeds that all of them have.

        It is None without such a seed, and where the score is not defined.
        """
        seeds = self.seeds(weights)
        if not seeds or any(score not in self.resampled[each][seed] for each in weights for seed in seeds):
            return None
        by_seed = [
            sum(weight * self.resampled[each][seed][score] for each, weight in weights.items()) for seed in seeds
        ]
        estimate = over_seeds(np.array(by_seed))
        return None if np.isnan(estimate).any() else estimate

    def is_weak(self, baseline: str, compared: Iterable[str]) -> bool:
        """Whether the baseline's AP50, over the seeds of a comparison, is too low for it to count."""
        seeds = self.seeds([baseline, *compared])
        return bool(np.mean([self.resampled[baseline][seed]["AP50"][0] for seed in seeds]) < WEAK)

    @property
    def resamples(self) -> int:
        """The number of resamples of each interval."""
        return next(
            len(values) - 1 for runs in self.resampled.values() for each in runs.values() for values in each.values()
        )

    @cached_property
    def ours(self) -> list[str]:
        """Our detectors."""
        return [name for name, runs in self.records.items() if _is_ours(runs)]

    @cached_property
    def trained_here(self) -> list[str]:
        """The detectors whose evaluations during training are on this dataset."""
        return [
            name for name, runs in self.records.items() if not any(each.get("trained_on") for each in runs.values())
        ]

    @cached_property
    def peers(self) -> list[str]:
        """The detectors of others."""
        return [name for name in self.records if name not in self.ours]


def _is_ours(runs: Mapping[int, Record]) -> bool:
    return all("attention" in record["detector"] for record in runs.values())


def draw_images(images: int, resamples: int) -> Int64[np.ndarray, "1+resamples images"]:
    """Returns how often each image is drawn: once, and then in each resample."""
    drawn = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), size=resamples)
    return np.concatenate([np.ones((1, images), dtype=np.int64), drawn])


def resample(score: Scorer, drawn: Int64[np.ndarray, "1+resamples images"]) -> dict[str, np.ndarray]:
    """Returns the values of each score of a line for all draws."""
    rows = [score(each) for each in drawn]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def over_seeds(by_seed: Float64[np.ndarray, "seeds 1+resamples"]) -> Estimate:
    """Returns the mean over seeds on all images, and its interval over seeds and images drawn together."""
    seeds, resamples = by_seed.shape[0], by_seed.shape[1] - 1
    drawn = draw_seeds(seeds, resamples)
    means = by_seed[drawn, 1 + np.arange(resamples)[:, None]].mean(axis=1)
    defined = means[~np.isnan(means)]
    ends = np.quantile(defined, [TAIL, 1 - TAIL]) if len(defined) else np.full(2, np.nan)
    return Estimate(float(by_seed[:, 0].mean()), float(ends[0]), float(ends[1]))


def draw_seeds(seeds: int, resamples: int) -> Int64[np.ndarray, "resamples seeds"]:
    """Returns the seeds of each resample, as many as there are."""
    return np.random.default_rng(1).integers(seeds, size=(resamples, seeds))


def studies(
    records: Iterable[Record], resampled: Callable[[Record], Mapping[str, np.ndarray]], order: Sequence[str]
) -> list[Study]:
    """Groups the records of lines by dataset and budget; those that are not scored on a test split are left out.

    order: the names of lines in the order of the queue; other lines are left out too.
    """
    scored = [each for each in records if each["name"] in order and "test" in each]
    known = sorted(scored, key=lambda each: order.index(each["name"]))
    groups: dict[tuple[str, str], dict[str, dict[int, Record]]] = {}
    for record in known:
        dataset, detector, budget, seed = record["name"].split("_")
        groups.setdefault((dataset, budget), {}).setdefault(detector, {})[int(seed)] = record
    return [
        Study(
            dataset=dataset,
            budget=budget,
            records=runs,
            resampled={
                name: {seed: resampled(record) for seed, record in of_seeds.items()} for name, of_seeds in runs.items()
            },
        )
        for (dataset, budget), runs in groups.items()
    ]
