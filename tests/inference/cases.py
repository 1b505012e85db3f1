"""Categories, images and a comparison for the tests of inference."""

import numpy as np
import torch
from PIL import Image

from uncrowd import Categories, Detections
from uncrowd.data.transforms import ResizeConfig

CATEGORIES = Categories(ids=(1, 18, 37), names=("person", "dog", "sports ball"))
RESIZE = ResizeConfig(short_side=64, max_size=100)


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Returns blurred noise, which has structure at every scale."""
    noise = np.random.default_rng(seed).integers(0, 256, (max(height // 8, 2), max(width // 8, 2), 3), dtype=np.uint8)
    return np.array(Image.fromarray(noise).resize((width, height)))


def assert_same(ours: Detections, theirs: Detections) -> None:
    assert len(ours) == len(theirs)
    torch.testing.assert_close(ours.scores, theirs.scores, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.boxes, theirs.boxes, rtol=1e-5, atol=1e-3)  # in an image of 100 pixels
    assert ours.labels.tolist() == theirs.labels.tolist()
