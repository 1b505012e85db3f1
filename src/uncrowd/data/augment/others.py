"""The images of a training set, from which one of them borrows."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64, UInt8
from torch import Tensor

from uncrowd.boxes import pairwise_own_share
from uncrowd.data.augment.chance import happens
from uncrowd.data.augment.cutout import Cutout, cut
from uncrowd.data.augment.labelled import Labelled, labelled, to_tensor
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.images.read import read_image
from uncrowd.errors import InputError
from uncrowd.structures import ImageId, Sample
from uncrowd.words import counted

# In pixels: the shortest side of an object that is cut out, and its least distance to the edge of its image, which may
# have cut off a part of it.
SHORTEST, APART = 4.0, 1.0
# Where no outline tells which pixels are the object's: the largest share of its box that another may cover, which is
# less for one that ends lower in the image, because that one is usually nearer and hides it.
BEHIND, IN_FRONT = 0.7, 0.1
# In levels of 0 to 255: images are alike if neither the means nor the deviations of a channel differ by more.
ALIKE = 25.0
# The most image files that are opened for one image.
MOST_FILES = 8
# The most pairs of boxes that are compared at a time, so that memory does not grow with the square of their number.
PAIRS_AT_A_TIME = 250_000


class Others:
    """Draws from the images of a dataset. max_pixels: images above it are not read."""

    def __init__(self, dataset: DetectionDataset, max_pixels: int) -> None:
        self._dataset, self._max_pixels = dataset, max_pixels

    @cached_property
    def _cuttable(self) -> Bool[np.ndarray, " m"]:
        return cuttable(self._dataset)

    @cached_property
    def _with_cuttable(self) -> Int64[np.ndarray, " k"]:
        """The images with objects that can be cut out."""
        return np.unique(np.searchsorted(self._dataset.offsets, np.flatnonzero(self._cuttable), "right") - 1)

    def require_cuttable(self, same_image: float = 0.0) -> None:
        """Raises InputError unless objects can be cut out of two images, or of one if all are pasted into their own."""
        if len(self._with_cuttable) < (1 if same_image == 1 else 2):
            raise InputError(
                f"{self._dataset.source} has objects that can be cut out in "
                f"{counted(len(self._with_cuttable), 'image')}, too few to paste them (they must be clear of the edge "
                "and, without an outline, of other objects); leave --augment.paste.probability at 0."
            )

    def cutouts(
        self, given: Labelled, own: ImageId, rng: np.random.Generator, same_image: float = 0.0
    ) -> Iterator[Cutout]:
        """Yields objects of the image itself, by chance, or else of other images. Nothing is drawn before the first.

        given: the image with the id `own`. same_image: the probability of its own objects, without end, each round in
        another order; an image without whole objects gets those of others. Other images are drawn one after another,
        and the objects of each come in random order. They are like `given` in brightness and contrast; an object of a
        very different one would stand out. Images that cannot be read are passed over. Objects of other images end
        when enough files were opened.
        """
        if happens(same_image, rng):
            rows = self._cuttable_of(int(np.flatnonzero(self._dataset.ids == own)[0]))
            while len(rows):
                yield from (cut(given, row) for row in rng.permutation(rows).tolist())
        look = _look(given.image)
        for index, sample, pixels in self._drawn(self._with_cuttable, own, rng):
            if (look - _look(to_tensor(pixels))).abs().max() > ALIKE:
                continue  # before its outlines are read, which takes longer
            source = labelled(pixels, sample, with_shapes=True)
            for row in rng.permutation(self._cuttable_of(index)).tolist():
                yield cut(source, row)

    def images(self, but: ImageId, rng: np.random.Generator, *, with_shapes: bool) -> Iterator[Labelled]:
        """Yields images drawn one after another, all but image `but`. It ends when enough files were opened."""
        every = self._drawn(np.arange(len(self._dataset)), but, rng)
        return (labelled(pixels, sample, with_shapes=with_shapes) for _, sample, pixels in every)

    def _cuttable_of(self, index: int) -> Int64[np.ndarray, " k"]:
        """Returns the rows of an image whose objects can be cut out."""
        start, end = self._dataset.offsets[index : index + 2]
        return np.flatnonzero(self._cuttable[start:end])

    def _drawn(
        self, images: Int64[np.ndarray, " k"], but: ImageId, rng: np.random.Generator
    ) -> Iterator[tuple[int, Sample, UInt8[np.ndarray, "h w 3"]]]:
        for _ in range(MOST_FILES):
            index = int(rng.choice(images))
            sample = self._dataset[index]
            if sample.id == but:
                continue
            try:
                pixels = read_image(sample.path, sample.size, max_pixels=self._max_pixels)
            except InputError:
                continue  # training says so when it is this image's turn
            yield index, sample, pixels


def _look(image: UInt8[Tensor, "3 h w"]) -> Float[Tensor, " 6"]:
    """Returns the mean of each channel of an image, and its standard deviation."""
    pixels = image.flatten(1).float()
    return torch.cat([pixels.mean(dim=1), pixels.std(dim=1, correction=0)])


def cuttable(dataset: DetectionDataset) -> Bool[np.ndarray, " m"]:
    """Returns which boxes hold one whole object that can be cut out.

    They are not ignored, not tiny and clear of the edge of their image, and have an outline or little in common with
    boxes that seem to be in front of them.
    """
    x1, y1, x2, y2 = dataset.boxes.T
    height, width = np.repeat(dataset.sizes, dataset.counts, axis=0).T
    whole = (x1 >= APART) & (y1 >= APART) & (x2 <= width - APART) & (y2 <= height - APART)
    good = whole & (np.minimum(x2 - x1, y2 - y1) >= SHORTEST) & ~dataset.ignore
    outlined = np.zeros(len(good), dtype=bool) if dataset.outlines is None else dataset.outlines.present
    for start, end in zip(dataset.offsets[:-1], dataset.offsets[1:], strict=True):
        unsure = start + np.flatnonzero(good[start:end] & ~outlined[start:end])
        good[unsure] = _seems_in_front(dataset.boxes[start:end], unsure - start)
    return good


def _seems_in_front(boxes: Float64[np.ndarray, "n 4"], rows: Int64[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
    """Returns which of these boxes show their own object, as far as the others tell."""
    every = torch.from_numpy(boxes)
    seems = np.zeros(len(rows), dtype=bool)
    step = max(1, PAIRS_AT_A_TIME // max(1, len(boxes)))
    for first in range(0, len(rows), step):
        block = torch.from_numpy(rows[first : first + step])
        shares = pairwise_own_share(every[block], every)
        shares[torch.arange(len(block)), block] = 0  # each box with itself
        allowed = torch.where(every[:, 3] > every[block, 3:], IN_FRONT, BEHIND)
        seems[first : first + step] = (shares <= allowed).all(dim=1).numpy()
    return seems
