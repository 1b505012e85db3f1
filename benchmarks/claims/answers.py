"""The answers to the questions of the claims, as far as the lines give them."""

import math
import re
from collections.abc import Sequence

from benchmarks.claims.effects import BASELINE, CORNERS, FULL, weights
from benchmarks.claims.learning import share_of_images
from benchmarks.claims.study import Estimate, Study
from benchmarks.claims.tables import FEW_OBJECTS, NOT_YET, difference, mean_score, too_weak

# By so many points uncrowd was expected to find more overlapped objects than the best of the others.
EXPECTED = 0.05


def gain_answers(studies: Sequence[Study]) -> str:
    """Returns, for each study, whether IoU-ESA, DCW and both gain AP over Sparse R-CNN, and then `_growth`."""
    return "\n".join([*(_of(study, _gains(study)) for study in studies), *_growth(studies)]) or NOT_YET


def _gains(study: Study) -> str:
    if not study.seeds([BASELINE, FULL]):
        return NOT_YET
    if study.is_weak(BASELINE, [FULL]):
        return too_weak(study)
    gains = [_gain(study, effect) for effect in ("IoU-ESA", "DCW", "both")]
    return f"{' '.join(gains)} {_with_seeds(len(study.seeds([BASELINE, FULL])))}"


def _gain(study: Study, effect: str) -> str:
    estimate = study.contrast(weights(effect), "AP")
    name = "Both together" if effect == "both" else effect
    if estimate is None:
        return f"{name}: {NOT_YET}"
    verdict = {1: ", a gain", -1: ", a loss", 0: ", which may be chance"}[_sign(estimate)]
    return f"{name}: AP {difference('AP', estimate)}{verdict if len(study.seeds(weights(effect))) > 1 else ''}."


def _growth(studies: Sequence[Study]) -> list[str]:
    """Returns, for each budget, how the gain of both changes from the least to the most crowded drawn images.

    Images with room for all, drawn-wide, count as the least crowded; those with many more objects do not compare.
    """
    sentences = []
    for budget in dict.fromkeys(study.budget for study in studies):
        gains = {}
        for study in studies:
            drawn = re.fullmatch(r"drawn(?:-wide)?-([\d.]+)", study.dataset)
            several = study.budget == budget and len(study.seeds([BASELINE, FULL])) > 1
            gain = study.contrast(weights("both"), "AP") if several and not study.is_weak(BASELINE, [FULL]) else None
            if gain is not None and drawn is not None:
                gains[float(drawn[1])] = gain
        if len(gains) > 1:
            (low, first), *_, (high, last) = sorted(gains.items())
            verdict = "which may be chance"
            if first.upper < last.lower or last.upper < first.lower:
                verdict = "so it grows with crowding" if first.upper < last.lower else "so it shrinks with crowding"
            ends = f"from {difference('AP', first)} at overlap {low:g} to {difference('AP', last)} at {high:g}"
            sentences.append(f"- {budget}: the gain of both in AP goes {ends}, {verdict}.")
    return sentences


def speed_answers(studies: Sequence[Study]) -> str:
    """Returns, for each study, how soon the full method reaches the baseline's last AP."""
    return "\n".join(_of(study, _sooner(study)) for study in studies) or NOT_YET


def _sooner(study: Study) -> str:
    share = share_of_images(study, FULL, BASELINE)
    if share is None:
        return NOT_YET
    if study.is_weak(BASELINE, [FULL]):
        return too_weak(study)
    if math.isinf(share.value):
        return "The full method does not reach the baseline's last AP."
    ends = " to ".join("never" if math.isinf(each) else f"{100 * each:.0f} %" for each in share[1:])
    seeds = len(study.seeds([FULL, BASELINE]))
    spread = f"{ends} over {seeds} seeds" if seeds > 1 else "one seed"
    return f"The full method reaches the baseline's last AP after {100 * share.value:.0f} % of its images ({spread})."


def overlapped_answers(studies: Sequence[Study]) -> str:
    """Returns, for each study with others, by how much the full method finds more overlapped objects than the best."""
    parts = [_of(study, _against_best(study)) for study in studies if study.peers]
    return "\n".join(parts) or NOT_YET


def _against_best(study: Study) -> str:
    """Returns what the full method finds compared with the best of the others, and then each other detector of ours."""
    if FULL not in study.records:
        return NOT_YET
    if math.isnan(mean_score(study, FULL, "found at 0.5")):
        return f"Fewer than {FEW_OBJECTS} objects overlap another by more than .5."
    best = max(study.peers, key=lambda peer: mean_score(study, peer, "found at 0.5"))
    found = study.contrast({FULL: 1, best: -1}, "found at 0.5")
    if found is None:
        return f"*Not yet run with one seed for both the full method and {best}.*"
    verdict = "these runs cannot tell"
    several = len(study.seeds([FULL, best])) > 1
    if several and (found.lower >= EXPECTED or found.upper < EXPECTED):
        verdict = "that holds here" if found.lower >= EXPECTED else "that does not hold here"
    others = [name for name in study.ours if name not in CORNERS and study.seeds([name, best])]
    return "\n    - ".join(
        [
            f"Points more than {best}, the best of the others, of the objects that overlap another by more than .5. At "
            f"least +5.0 were expected of the full method; {verdict}.",
            f"the full method: {_beside(study, FULL, best)}",
            *(f"`{name}`: {_beside(study, name, best)}" for name in others),
        ]
    )


def _beside(study: Study, name: str, best: str) -> str:
    """Returns the points that a detector finds more than the best of the others, and the same for AP."""
    found, ap = (difference(score, study.contrast({name: 1, best: -1}, score)) for score in ("found at 0.5", "AP"))
    return f"{found}; AP {ap}. {_with_seeds(len(study.seeds([name, best])))}"


def _sign(estimate: Estimate) -> int:
    """Returns 1 or -1 if the interval is on that side of 0, else 0."""
    return (estimate.lower > 0) - (estimate.upper < 0)


def _with_seeds(seeds: int) -> str:
    return "One seed: intervals are over images alone, so nothing is claimed." if seeds == 1 else f"{seeds} seeds."


def _of(study: Study, sentence: str) -> str:
    return f"- {study.dataset}, {study.budget}: {sentence}"
