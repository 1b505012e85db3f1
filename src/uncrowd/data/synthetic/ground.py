"""Draws the background of synthetic scenes: a textured ground in perspective, a hedge and the sky.

Textures come in families. (family, number) is the seed of a texture's colours, patterns and grain, so no two families
share a texture.
"""

import colorsys

import numpy as np
from jaxtyping import Float
from PIL import Image

# The number of grounds in a texture family, and of surfaces for figures.
TEXTURES = 12


def draw_ground(
    family: int, rng: np.random.Generator, height: int, width: int, horizon: float
) -> Float[np.ndarray, "h w 3"]:
    """Returns a landscape without figures, RGB in [0, 1]: one of the family's grounds, from `horizon` (pixels) down."""
    style = np.random.default_rng((family, 0, int(rng.integers(TEXTURES))))
    image = _paving(style, rng, height, width, horizon)
    far = image[: int(horizon) + 2]
    hedge = _hedge(style, rng, len(far), width)
    outline = horizon * (0.45 + style.uniform(0, 0.4) * _fractal_noise(rng, 1, width, 0.25 * min(height, width)))
    sky = _colour(style, hue=(0.5, 0.6), saturation=(0.1, 0.4), value=(0.9, 1.0))
    paling = sky + 0.1 * np.linspace(0, 1, len(far), dtype=np.float32)[:, None, None]
    far[:] = _below(_below(far, horizon, hedge), outline, paling)
    return np.clip(image, 0, 1)


def draw_grain(family: int, rng: np.random.Generator, side: int) -> Float[np.ndarray, "side side"]:
    """Returns one of the family's surfaces for figures, as brightness around 0; `side` is the image's short side."""
    style = np.random.default_rng((family, 1, int(rng.integers(TEXTURES))))
    return style.uniform(0.05, 0.13) * _fractal_noise(rng, side, side, side * style.uniform(0.01, 0.05))


def _paving(
    style: np.random.Generator, rng: np.random.Generator, height: int, width: int, horizon: float
) -> Float[np.ndarray, "h w 3"]:
    """Returns grass, sand or stone in perspective: plain, striped or paved; patterns fade far away, as they alias."""
    unit = min(height, width)
    colour = _colour(style, hue=(0.06, 0.38), saturation=(0.1, 0.4), value=(0.5, 0.78))
    depth = unit / np.maximum(np.arange(height, dtype=np.float32)[:, None] - horizon + 0.12 * unit, 1)
    sideways = (np.arange(width, dtype=np.float32) - width / 2) / unit * depth
    pitch = style.uniform(1.5, 4)
    column, row = np.floor(sideways * pitch) % 2, np.floor(depth * pitch) % 2
    pattern = (0 * column, column, row + 0 * column, (column + row) % 2)[style.integers(4)]
    brightness = 1 + style.uniform(0.05, 0.11) * (pattern - 0.5) * np.minimum(2 / depth, 1)
    brightness += style.uniform(0.06, 0.12) * _fractal_noise(rng, height, width, unit * style.uniform(0.02, 0.2))
    brightness += 0.04 * rng.standard_normal((height, width), dtype=np.float32)
    return brightness[..., None] * colour


def _hedge(style: np.random.Generator, rng: np.random.Generator, height: int, width: int) -> Float[np.ndarray, "h w 3"]:
    colour = _colour(style, hue=(0.0, 1.0), saturation=(0.2, 0.45), value=(0.35, 0.6))
    leaves = _fractal_noise(rng, height, width, width * style.uniform(0.015, 0.045))
    return (1 + style.uniform(0.1, 0.3) * leaves)[..., None] * colour


def _below(
    lower: Float[np.ndarray, "h w 3"],
    edge: float | Float[np.ndarray, "1 w"],
    upper: Float[np.ndarray, "h _ 3"],
) -> Float[np.ndarray, "h w 3"]:
    """Returns an image that is `lower` below a smooth edge and `upper` above it."""
    rows = np.arange(len(lower), dtype=np.float32)[:, None]
    share = np.clip(rows - edge + 1, 0, 1)[..., None]
    return upper + share * (lower - upper)


def _fractal_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Float[np.ndarray, "h w"]:
    """Returns smooth random brightness, about -1 to 1: cells of `cell` pixels, plus finer and weaker ones."""
    total = np.zeros((height, width), dtype=np.float32)
    for octave in range(3):
        size = max(cell / 2**octave, 1)
        coarse = rng.uniform(-1, 1, (int(height / size) + 2, int(width / size) + 2)).astype(np.float32)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(smooth) / 2**octave
    return total / 1.5


def _colour(
    style: np.random.Generator, hue: tuple[float, float], saturation: tuple[float, float], value: tuple[float, float]
) -> Float[np.ndarray, " 3"]:
    rgb = colorsys.hsv_to_rgb(style.uniform(*hue), style.uniform(*saturation), style.uniform(*value))
    return np.array(rgb, dtype=np.float32)
