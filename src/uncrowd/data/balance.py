"""How often an image comes in an epoch, so that rare classes are seen more often."""

import numpy as np
from jaxtyping import Float64

from uncrowd.data.dataset import DetectionDataset


def repeat_factors(dataset: DetectionDataset, rare_below: float) -> Float64[np.ndarray, " n"]:
    """Returns the repeat factor of each image, at least 1 (LVIS, arXiv:1908.03195, appendix B).

    A class that a share f of the images shows has the factor max(1, sqrt(rare_below / f)), and an image has the largest
    factor of its classes. Ignored boxes show nothing.
    """
    images = np.repeat(np.arange(len(dataset)), dataset.counts)[~dataset.ignore]
    labels = dataset.labels[~dataset.ignore]
    shown = np.unique(np.stack([images, labels], axis=1), axis=0)
    shares = np.bincount(shown[:, 1], minlength=len(dataset.categories)) / max(1, len(dataset))
    of_class = np.maximum(1.0, np.sqrt(rare_below / np.where(shares > 0, shares, 1.0)))
    factors = np.ones(len(dataset))
    np.maximum.at(factors, shown[:, 0], of_class[shown[:, 1]])
    return factors
