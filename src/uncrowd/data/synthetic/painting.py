"""Paints figures that stand at their places onto a ground, and measures what of each is visible."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from uncrowd.data.synthetic.figures import Sprite


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A figure at its place. whole, box: its box, before and after it is clipped to the image. feet: y of its feet."""

    label: int
    whole: Float[np.ndarray, " 4"]
    box: Float[np.ndarray, " 4"]
    feet: float
    sprite: Sprite


def paint(ground: Float[np.ndarray, "h w 3"], objects: list[Placed]) -> UInt8[np.ndarray, "h w 3"]:
    """Paints objects, farthest first, with their shadows below all of them."""
    image = ground.copy()
    sprites = [_cut(placed.sprite, (image.shape[0], image.shape[1])) for placed in objects]
    for sprite in sprites:
        image[_area_of(sprite)] *= 1 - sprite.shadow[..., None]
    for sprite in sprites:
        pixels = image[_area_of(sprite)]
        pixels += sprite.cover[..., None] * (sprite.rgb - pixels)
    return np.round(image * 255).astype(np.uint8)


def visible_shares(objects: list[Placed], size: tuple[int, int]) -> Float[np.ndarray, " n"]:
    """Returns the share of each silhouette in the image that the nearer objects after it do not hide."""
    front = np.zeros(size, dtype=np.int64)
    totals = np.zeros(len(objects))
    for index, placed in enumerate(objects):
        sprite = _cut(placed.sprite, size)
        silhouette = sprite.cover >= 0.5
        front[_area_of(sprite)][silhouette] = index + 1
        totals[index] = silhouette.sum()
    return np.bincount(front.ravel(), minlength=len(objects) + 1)[1:] / np.maximum(totals, 1)


def _cut(sprite: Sprite, size: tuple[int, int]) -> Sprite:
    """Returns the part of a sprite inside the image."""
    top, left = max(-sprite.top, 0), max(-sprite.left, 0)
    part = slice(top, size[0] - sprite.top), slice(left, size[1] - sprite.left)
    return Sprite(
        rgb=sprite.rgb[part],
        cover=sprite.cover[part],
        shadow=sprite.shadow[part],
        left=sprite.left + left,
        top=sprite.top + top,
    )


def _area_of(sprite: Sprite) -> tuple[slice, slice]:
    height, width = sprite.cover.shape
    return slice(sprite.top, sprite.top + height), slice(sprite.left, sprite.left + width)
