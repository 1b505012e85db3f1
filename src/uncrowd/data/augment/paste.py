"""Crowding by paste: objects of the training set are pasted in front of those of an image, so that they overlap.

Simple copy-paste (arXiv:2012.07177) pastes anywhere; here the overlap is drawn, as crowds are what is to be learnt.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from uncrowd.boxes import area, pairwise_iou
from uncrowd.data.augment.chance import happens, require_range
from uncrowd.data.augment.cutout import Cutout, Silhouette, resized, silhouette
from uncrowd.data.augment.labelled import Labelled
from uncrowd.data.augment.shapes import moved
from uncrowd.errors import InputError, require_at_least, require_probability

# How often a place is tried for an object before it is left out.
TRIES = 16
# The most by which an object is enlarged or shrunk: more would show.
MOST_RESIZED = 2.0
# Halvings of an interval: enough for a thousandth of a pixel in the largest image.
HALVINGS = 26


@dataclass(frozen=True, kw_only=True)
class PasteConfig:
    """Crowding by paste. In the last fifth of training its probability falls to 0: training ends on real images."""

    # Probability that objects are pasted into an image. 0 turns it off.
    probability: float = 0.0
    # Probability that they are objects of the image itself, which are like the others there in light and size, and not
    # of other images.
    same_image: float = 0.0
    # Fewest and most objects pasted into an image.
    objects: tuple[int, int] = (1, 8)
    # Least and largest IoU of a pasted object with one that is there by then; it is drawn uniformly.
    overlap: tuple[float, float] = (0.0, 0.8)
    # The share of each object that stays visible. An object that would hide more of another is not pasted.
    min_visible: float = 0.25
    # How much of what is behind it a pasted object hides. Less than 1 lets it shine through, as cells do.
    opacity: float = 1.0
    # Least and largest scale, relative to the object that is overlapped if it is of the same class, else to its own.
    scale: tuple[float, float] = (0.8, 1.25)
    # Probability that a pasted object is mirrored left to right.
    flip: float = 0.5

    def __post_init__(self) -> None:
        """Raises InputError for probabilities, numbers and shares that cannot be."""
        require_probability(probability=self.probability, same_image=self.same_image)
        require_probability(min_visible=self.min_visible, opacity=self.opacity, flip=self.flip)
        require_at_least(1, objects=self.objects[0])
        if self.opacity < self.min_visible or self.opacity == 0:
            raise InputError(
                f"opacity is {self.opacity:g}, which would hardly show an object; give more than 0, and no less than "
                f"min_visible, which is {self.min_visible:g}."
            )
        if self.objects[0] > self.objects[1]:
            raise InputError(f"objects is {self.objects[0]} to {self.objects[1]}; give the smaller first.")
        require_range("overlap", self.overlap, 0, 0.95)
        require_range("scale", self.scale, 0.1, 10)


def paste(
    config: PasteConfig, given: Labelled, cutouts: Iterator[Cutout], rng: np.random.Generator, strength: float = 1.0
) -> Labelled:
    """Returns the image with objects pasted into it, or as it is, by chance.

    cutouts: the objects to paste, taken one after another. strength: factor on the probability. Each pasted object
    overlaps one that is there by then, of any class, at the IoU that was drawn for it. It lies in the image as a whole
    and overlaps no other by more than the largest IoU of `config`. If both are of one class, it gets about the size of
    the other, because images differ in scale. Its box is that in its own image, moved along. The boxes of hidden
    objects and ignored regions stay as they are. How much an object was hidden before is not known: `min_visible` is
    the share of its outline, or of the ellipse in its box, where what shines through an object counts by 1 - `opacity`.
    """
    if not happens(config.probability * strength, rng):
        return given
    scene = _Scene(config, given)
    for cutout in islice(cutouts, int(rng.integers(*config.objects, endpoint=True))):
        scene.add(cutout, rng)
    return scene.labelled


class _Scene:
    """An image into which objects are pasted, and what is still visible of each of its objects."""

    def __init__(self, config: PasteConfig, given: Labelled) -> None:
        self.config, self.labelled = config, given._replace(image=given.image.clone(), shapes=list(given.shapes))
        self._hosts = torch.nonzero(~given.ignore).flatten().tolist()
        self._visible = [silhouette(given, row) for row in self._hosts]
        self._pixels = [float(each.seen.sum()) for each in self._visible]

    def add(self, cutout: Cutout, rng: np.random.Generator) -> None:
        """Pastes an object over one of the image, if a place is found for it."""
        wanted = float(rng.uniform(*self.config.overlap))
        for _ in range(TRIES if self._hosts else 0):
            row = self._hosts[rng.integers(len(self._hosts))]
            host = self.labelled.boxes[row]
            low, high = self.config.scale
            scale = math.exp(rng.uniform(math.log(low), math.log(high)))
            if self.labelled.labels[row] == cutout.label:
                scale *= math.sqrt(float(area(host) / area(cutout.box)))
            angle, flip = rng.uniform(0, 2 * math.pi), bool(rng.random() < self.config.flip)
            if not 1 / MOST_RESIZED <= scale <= MOST_RESIZED:
                continue
            place = _place(cutout.box * scale, host, wanted, angle)
            if place is not None and self._paste(resized(cutout, scale, flip=flip), place):
                return

    def _paste(self, cutout: Cutout, centre: tuple[float, float]) -> bool:
        """Pastes an object with the middle of its box at (x, y), unless it would leave the image or hide too much."""
        x, y = ((cutout.box[:2] + cutout.box[2:]) / 2).tolist()
        left, top = round(centre[0] - x), round(centre[1] - y)
        (height, width), (image_height, image_width) = cutout.size, self.labelled.size
        if left < 0 or top < 0 or left + width > image_width or top + height > image_height:
            return False
        box = cutout.box + cutout.box.new_tensor([left, top, left, top])
        others = self.labelled.boxes[self._hosts]
        if pairwise_iou(box[None], others).max() > self.config.overlap[1]:
            return False
        pasted = Silhouette(left, top, (cutout.cover >= 0.5).float())
        visible = [_behind(each, pasted, self.config.opacity) for each in self._visible]
        for before, after, pixels in zip(self._visible, visible, self._pixels, strict=True):
            if after is not before and float(after.seen.sum()) < self.config.min_visible * pixels:
                return False
        self._visible = [*visible, pasted]
        self._pixels.append(float(pasted.seen.sum()))
        self._hosts.append(len(self.labelled.boxes))
        self.labelled = _with(self.labelled, cutout, box, left, top, self.config.opacity)
        return True


def _with(given: Labelled, cutout: Cutout, box: Float[Tensor, " 4"], left: int, top: int, opacity: float) -> Labelled:
    """Returns the image with the object in front of all that is there. The pixels are written in place."""
    height, width = cutout.size
    below, cover = given.image[:, top : top + height, left : left + width], opacity * cutout.cover
    below.copy_((cutout.image * cover + below * (1 - cover)).round())
    return Labelled(
        image=given.image,
        boxes=torch.cat([given.boxes, box[None]]),
        labels=torch.cat([given.labels, given.labels.new_tensor([cutout.label])]),
        ignore=torch.cat([given.ignore, given.ignore.new_tensor([False])]),
        shapes=[*given.shapes, None if cutout.shape is None else moved(cutout.shape, (1.0, 1.0), (left, top))],
    )


def _behind(each: Silhouette, front: Silhouette, opacity: float) -> Silhouette:
    """Returns what is seen of an object behind another; the same object where they do not touch."""
    height, width = each.seen.shape
    front_height, front_width = front.seen.shape
    left, right = max(each.left, front.left), min(each.left + width, front.left + front_width)
    top, bottom = max(each.top, front.top), min(each.top + height, front.top + front_height)
    if left >= right or top >= bottom:
        return each
    seen = each.seen.clone()
    hides = front.seen[top - front.top : bottom - front.top, left - front.left : right - front.left]
    seen[top - each.top : bottom - each.top, left - each.left : right - each.left] *= 1 - opacity * hides
    return Silhouette(each.left, each.top, seen)


def _place(
    box: Float[Tensor, " 4"], host: Float[Tensor, " 4"], wanted: float, angle: float
) -> tuple[float, float] | None:
    """Returns where the middle of a box goes for the wanted IoU with a host, in a direction from the host's middle.

    None where the sizes of the two allow no such IoU. On the way out, the IoU never rises.
    """
    width, height = (box[2:] - box[:2]).tolist()
    host_width, host_height = (host[2:] - host[:2]).tolist()
    x, y = ((host[:2] + host[2:]) / 2).tolist()
    across, down = math.cos(angle) * (width + host_width) / 2, math.sin(angle) * (height + host_height) / 2

    def iou(way: float) -> float:
        shared_width = min(width, host_width, (width + host_width) / 2 - abs(way * across))
        shared_height = min(height, host_height, (height + host_height) / 2 - abs(way * down))
        shared = max(0.0, shared_width) * max(0.0, shared_height)
        return shared / (width * height + host_width * host_height - shared)

    if iou(0.0) < wanted:
        return None
    near, far = 0.0, math.sqrt(2)  # where the boxes touch no more, in any direction
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        near, far = (middle, far) if iou(middle) >= wanted else (near, middle)
    return x + near * across, y + near * down
