"""A detector that behaves like a trained one."""

import pytest
import torch

from tests.inference.cases import CATEGORIES, RESIZE
from tests.tiny import TINY_MODEL
from uncrowd import Predictor
from uncrowd.models.sparse_rcnn import SparseRCNN


@pytest.fixture(scope="module")
def model() -> SparseRCNN:
    """A detector whose parameters all differ from their initial values, which would hide the effect of padding.

    Its boxes are small and scattered over the image, like those of a trained one.
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
    return Predictor(model, CATEGORIES, RESIZE)
