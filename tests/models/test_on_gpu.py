"""What is computed on a GPU is what the plain twin computes on the CPU. Left out where there is no GPU.

What is compiled is in test_compiled.py, which uses the GPU where there is one.
"""

from collections.abc import Iterator
from copy import deepcopy

import pytest
import torch
from torch import Tensor

from tests.plain.sparse_rcnn import PlainSparseRCNN
from uncrowd.boxes import FAR
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.roi_align import as_rows, roi_align
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
CUDA = torch.device("cuda")
SIZES = torch.tensor([[128, 160], [96, 121]])


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    """No TF32, whose 10 bits would be all that differs."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope="module")
def model() -> SparseRCNN:
    """Proposals of all levels, some of them outside the picture."""
    torch.manual_seed(0)
    stage = StageConfig(width=64, heads=4, dynamic_width=16, feedforward_width=128)
    trunk = BackboneConfig(name="resnet18", frozen_stages=0)
    model = SparseRCNN(SparseRCNNConfig(num_classes=5, proposals=24, stages=2, backbone=trunk, stage=stage)).eval()
    with torch.no_grad():
        centre, size = model.proposal_boxes_cxcywh_norm.split(2, dim=-1)
        centre.uniform_(-0.2, 1.2)
        size.uniform_(-3, 2).exp_()
    return model


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(256, (2, 3, 128, 160), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def assert_near(found: Tensor, expected: Tensor, share: float) -> None:
    """share: of the expected tensor's largest value."""
    assert (found.cpu().float() - expected.float()).abs().max() <= share * expected.abs().max()


def test_every_stage_is_the_twins(model: SparseRCNN, images: Tensor) -> None:
    with torch.no_grad():
        expected = PlainSparseRCNN(deepcopy(model)).eval()(images, SIZES)
        found = deepcopy(model).to(CUDA)(images.to(CUDA), SIZES.to(CUDA))
    for ours, theirs in zip(found, expected, strict=True):
        for tensor, twins in zip(ours, theirs, strict=True):
            assert_near(tensor, twins, 2e-3)


def test_gradients_are_those_of_the_cpu(model: SparseRCNN, images: Tensor) -> None:
    gradients = []
    for device in (torch.device("cpu"), CUDA):
        own = deepcopy(model).to(device).train()
        outputs = own(images.to(device), SIZES.to(device))
        torch.stack([tensor.square().mean() for output in outputs for tensor in output]).sum().backward()
        gradients.append({name: p.grad for name, p in own.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[0].items():
        assert_near(gradients[1][name], expected, 5e-2)  # a ReLU near 0 falls on the other side


def test_pooling_far_away_and_in_half_precision() -> None:
    torch.manual_seed(0)
    features = [torch.randn(1, 8, 64 // s, 96 // s) for s in (1, 2, 4, 8)]
    boxes = torch.tensor([[[-400.0, -400, 900, 900], [FAR, FAR, 2 * FAR, 2 * FAR], [5, 5, 60, 40], [9, 9, 9, 9]]])
    expected = roi_align(as_rows(features), boxes, 7)
    for dtype, share in ((torch.float32, 1e-5), (torch.bfloat16, 1e-2)):
        found = roi_align(as_rows([f.to(CUDA, dtype) for f in features]), boxes.to(CUDA), 7)
        assert found.dtype == dtype
        assert_near(found, expected, share)


def test_bf16_trains_with_finite_gradients(model: SparseRCNN, images: Tensor) -> None:
    own = deepcopy(model).to(CUDA).train()
    with torch.autocast("cuda", torch.bfloat16):
        outputs = own(images.to(CUDA), SIZES.to(CUDA))
    torch.stack([output.logits.square().mean() + output.boxes.square().mean() for output in outputs]).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in own.parameters())
