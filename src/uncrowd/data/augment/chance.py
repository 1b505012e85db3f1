"""Draws from a generator that the seed, the epoch and the image determine. What is off draws nothing."""

import numpy as np

from uncrowd.errors import InputError

Number = int | float


def happens(probability: Number, rng: np.random.Generator) -> bool:
    """Returns True with this probability. 0 draws no number, so that a choice that is off changes nothing."""
    return probability > 0 and bool(rng.random() < probability)


def around(centre: Number, spread: Number, rng: np.random.Generator) -> float:
    """Returns a number drawn uniformly from `centre` - `spread` to `centre` + `spread`."""
    return float(rng.uniform(centre - spread, centre + spread))


def require_range(name: str, ends: tuple[Number, Number], least: Number, most: Number) -> None:
    """Raises InputError unless least <= first end <= second end <= most."""
    low, high = ends
    if not least <= low <= high <= most:
        raise InputError(f"{name} is {low:g} to {high:g}; give the smaller first, both from {least:g} to {most:g}.")
