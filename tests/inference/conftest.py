"""A detector that behaves as a trained one, and images for it."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import TINY_MODEL
from uncrowd import Categories, Detections, Predictor
from uncrowd.data.transforms import ResizeConfig
from uncrowd.models.sparse_rcnn import SparseRCNN

CATEGORIES = Categories(ids=(1, 18, 37), names=("person", "dog", "sports ball"))
RESIZE = {"short_side": 64, "max_size": 100}


@pytest.fixture(scope="module")
def model() -> SparseRCNN:
    """A detector none of whose parameters is as it was initialised: fresh networks hide what padding does.

    Its boxes are small and scattered over the image, as those of a trained one.
    """
    torch.manual_seed(0)
    model = SparseRCNN(TINY_MODEL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        centres = torch.rand(len(model.proposal_boxes_cxcywh_norm), 2)
        model.proposal_boxes_cxcywh_norm.copy_(torch.cat([centres, torch.full_like(centres, 0.3)], dim=1))
    return model.eval()


@pytest.fixture(scope="module")
def predictor(model: SparseRCNN) -> Predictor:
    return Predictor(model, CATEGORIES, ResizeConfig(**RESIZE))


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Blurred noise, which has something at every scale."""
    noise = np.random.default_rng(seed).integers(0, 256, (max(height // 8, 2), max(width // 8, 2), 3), dtype=np.uint8)
    return np.array(Image.fromarray(noise).resize((width, height)))


def assert_same(ours: Detections, theirs: Detections) -> None:
    assert len(ours) == len(theirs)
    torch.testing.assert_close(ours.scores, theirs.scores, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.boxes, theirs.boxes, rtol=1e-5, atol=1e-3)  # of 100 pixels
    assert ours.labels.tolist() == theirs.labels.tolist()
