"""Resamples the images of a dataset and compares two detectors on each resample (a paired bootstrap)."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64

from uncrowd.evaluation.comparison.counts import COUNTING_ERROR

# The interval leaves out this share of the resamples at each end.
TAIL = 0.025
# The scores of which a lower one is better.
LOWER_IS_BETTER = ("mMR", COUNTING_ERROR)


@runtime_checkable
class Matches(Protocol):
    """The detections of one detector, matched with the objects of each image once and for all."""

    def values(self, drawn: Int64[np.ndarray, " images"]) -> dict[str, float | None]:
        """Returns the scores of a dataset that has image i `drawn[i]` times; None where they are not defined."""
        ...


@dataclass(frozen=True, kw_only=True)
class ScoreDifference:
    """One score of two detectors, as a share, on all images, and what resampling says of their difference a - b.

    lower, upper: ends of the 95 % interval of the difference. a_better: share of the resamples in which a is better,
    from 0 to 1; those in which both are equal count half.
    """

    a: float
    b: float
    lower: float
    upper: float
    a_better: float

    @property
    def difference(self) -> float:
        """The score of a minus that of b."""
        return self.a - self.b

    @property
    def always_equal(self) -> bool:
        """Whether a and b score the same on all images and in at least 95 % of the resamples."""
        return self.difference == self.lower == self.upper == 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two detectors on the same images.

    scores: None where a score is not defined, which is so without objects. headline: the score that decides.
    """

    headline: str
    scores: dict[str, ScoreDifference | None]
    images: int
    resamples: int

    @property
    def better(self) -> Literal["a", "b"] | None:
        """The better one; None if the 95 % interval of the headline's difference holds 0."""
        main = self.scores[self.headline]
        if main is None or main.lower <= 0 <= main.upper:
            return None
        return "a" if main.lower > 0 else "b"

    def answer(self, a: str = "A", b: str = "B") -> str:
        """Returns one sentence that says which is better, and whether it may be luck. a, b: what it calls the two."""
        main = self.scores[self.headline]
        if main is None:
            return "The dataset has no objects, so the two cannot be compared."
        if main.always_equal:
            score = f"{self.headline} is {100 * main.a:.1f}"
            return f"{a} and {b} score the same: {score} for both, and on resamples, too."
        numbers = (
            f"{self.headline} is {100 * main.a:.1f} against {100 * main.b:.1f}, a difference of "
            f"{100 * main.difference:+.1f} (95 % interval {100 * main.lower:+.1f} to {100 * main.upper:+.1f}), and {a} "
            f"is better in {100 * main.a_better:.1f} % of {self.resamples:,} resamples of the {self.images:,} images."
        )
        if self.better is None:
            return f"Which of {a} and {b} is better may be luck of the images: {numbers}"
        winner, loser = (a, b) if self.better == "a" else (b, a)
        return f"{winner} is better than {loser}, which is not luck of the images: {numbers}"

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as numbers, texts and dictionaries, for JSON."""
        scores = {
            name: None if score is None else asdict(score) | {"difference": score.difference}
            for name, score in self.scores.items()
        }
        return asdict(self) | {"scores": scores, "better": self.better, "answer": self.answer()}

    def table(self) -> str:
        """Returns the scores in percent, a line each."""
        head = f"{'':14}{'A':>6}{'B':>7}{'A - B':>8}{'95 % interval':>18}{'A better':>11}"
        return "\n".join([head, *(_line(name, score) for name, score in self.scores.items())])


def paired_bootstrap(a: Matches, b: Matches, *, images: int, headline: str, resamples: int, seed: int) -> Comparison:
    """Compares on all images, and on `resamples` resamples, each of as many images, drawn with replacement.

    Both detectors are scored on the same draws, `numpy.random.default_rng(seed).integers(images, size=images)` one
    after the other. The interval reaches from the 2.5th to the 97.5th percentile of the differences (linear between
    neighbours). A resample in which a score is not defined, because no drawn image has objects, is left out for it.
    """
    rng = np.random.default_rng(seed)
    every = np.ones(images, dtype=np.int64)
    on_all = a.values(every), b.values(every)
    some_defined = any(value is not None for value in on_all[0].values())
    times = range(resamples if some_defined else 0)
    draws = (np.bincount(rng.integers(images, size=images), minlength=images) for _ in times)
    resampled = [(a.values(drawn), b.values(drawn)) for drawn in draws]
    scores: dict[str, ScoreDifference | None] = {}
    for name, of_a in on_all[0].items():
        of_b = on_all[1][name]
        pairs = [(first[name], second[name]) for first, second in resampled]
        differences = np.array([x - y for x, y in pairs if x is not None and y is not None])
        if of_a is None or of_b is None or not len(differences):
            scores[name] = None
        else:
            scores[name] = _difference(name, of_a, of_b, differences)
    return Comparison(headline=headline, scores=scores, images=images, resamples=resamples)


def _difference(name: str, a: float, b: float, differences: Float64[np.ndarray, " resamples"]) -> ScoreDifference:
    lower, upper = np.quantile(differences, [TAIL, 1 - TAIL]).tolist()
    a_better = -differences if name in LOWER_IS_BETTER else differences
    return ScoreDifference(
        a=a, b=b, lower=lower, upper=upper, a_better=float(((a_better > 0) + 0.5 * (a_better == 0)).mean())
    )


def _line(name: str, score: ScoreDifference | None) -> str:
    if score is None:
        return f"{name:14}{'-':>6}{'-':>7}{'-':>8}{'-':>18}{'-':>11}"
    interval = f"{100 * score.lower:+.1f} to {100 * score.upper:+.1f}"
    better = "equal" if score.always_equal else f"{100 * score.a_better:.1f} %"
    return (
        f"{name:14}{100 * score.a:>6.1f}{100 * score.b:>7.1f}{100 * score.difference:>+8.1f}{interval:>18}{better:>11}"
    )
