"""Draws seeded clips of crowds in which people walk to and fro and pass each other, with the tracks of all of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8

from uncrowd import boxes as box_ops
from uncrowd.data.synthetic.painting import Placed, paint, visible_shares
from uncrowd.data.synthetic.scenes import SceneConfig, place_objects

# How far an object walks to either side, as a share of the width, and the frames that it takes to come back.
REACH = (0.08, 0.35)
PERIOD = (120.0, 300.0)
# How far it walks to and from the viewer, as a share of the height.
DEPTH = 0.03
# The share of the width beside which the middle of an object stays inside the image.
MARGIN = 0.05


@dataclass(frozen=True, kw_only=True)
class ClipFrame:
    """A frame and its objects, farthest first. tracks: a number for each object, the same in all frames.

    The other fields are those of `Scene`.
    """

    image: UInt8[np.ndarray, "h w 3"]
    boxes: Float[np.ndarray, "n 4"]
    labels: Int64[np.ndarray, " n"]
    tracks: Int64[np.ndarray, " n"]
    visible: Float[np.ndarray, " n"]


def draw_clip(config: SceneConfig, frames: int, seed: int) -> Iterator[ClipFrame]:
    """Yields the frames of a clip, which are always the same for a seed.

    The middle frame is about a scene of `config`, with its overlaps; before and after it each object walks to and fro
    around its place there, at its own speed. So objects pass in front of each other all the time, and some are hidden
    wholly for a while. An object keeps its size, and none leaves the image or enters it.
    """
    scene_rng, rng = np.random.default_rng(seed).spawn(2)
    ground, objects = place_objects(config, scene_rng)
    height, width = config.size
    places = np.array([placed.whole for placed in objects]).reshape(-1, 4)
    middle = (places[:, 0] + places[:, 2]) / 2
    room = np.minimum(middle - MARGIN * width, (1 - MARGIN) * width - middle).clip(min=0)
    reach = np.minimum(rng.uniform(*REACH, len(objects)) * width, room) * rng.choice((-1, 1), len(objects))
    period, phase = rng.uniform(*PERIOD, len(objects)), rng.uniform(0, 2 * np.pi, len(objects))
    for frame in range(frames):
        angle = 2 * np.pi * (frame - frames // 2) / period
        shift = np.stack([reach * np.sin(angle), DEPTH * height * (np.sin(angle / 2 + phase) - np.sin(phase))], axis=1)
        by = shift.round().tolist()
        moved = [_moved(placed, x, y, config.size) for placed, (x, y) in zip(objects, by, strict=True)]
        order = sorted(range(len(moved)), key=lambda index: moved[index].feet)
        moved = [moved[index] for index in order]
        yield ClipFrame(
            image=paint(ground, moved),
            boxes=np.array([placed.box for placed in moved]).reshape(-1, 4),
            labels=np.array([placed.label for placed in moved], dtype=np.int64),
            tracks=np.array(order, dtype=np.int64),
            visible=visible_shares(moved, config.size),
        )


def _moved(placed: Placed, x: float, y: float, size: tuple[int, int]) -> Placed:
    """Returns an object that has moved by whole pixels."""
    whole = placed.whole + np.array((x, y, x, y))
    sprite = placed.sprite._replace(left=placed.sprite.left + int(x), top=placed.sprite.top + int(y))
    box = box_ops.clip(torch.from_numpy(whole), *size).numpy()
    return replace(placed, whole=whole, box=box, feet=placed.feet + y, sprite=sprite)
