"""A GPU computes what the CPU computes. These tests are skipped where there is no GPU.

test_compile.py, test_roi_align.py, test_bias_relu_triton.py and test_fuse.py also use a GPU where there is one.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from itertools import chain

import pytest
import torch
from torch import Tensor
from torchvision.ops import roi_align as roi_align_level

from tests.models.small import SMALL, SMALL_DETR
from tests.models.trained_norms import as_if_trained
from tests.plain.sparse_rcnn import PlainSparseRCNN
from uncrowd.acceleration.for_inference import for_inference
from uncrowd.boxes import FAR
from uncrowd.inference.cuda_graphs import CudaGraphs
from uncrowd.models.build import AnyDetectorConfig, build_detector
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.ops.roi_align import as_rows, assign_levels, roi_align

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
CUDA = torch.device("cuda")
SIZES = torch.tensor([[128, 160], [96, 121]])


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    """Switches TF32 off, because its 10 bits of mantissa would dominate all differences."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope="module")
def model() -> SparseRCNN:
    """A model with proposals on all levels, some of them outside the image."""
    torch.manual_seed(0)
    model = SparseRCNN(SMALL).eval()
    as_if_trained(model)
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
    assert (found.cpu().double() - expected.double()).abs().max() <= share * expected.abs().max()


@pytest.mark.parametrize(("dtype", "share"), [(torch.float64, 1e-9), (torch.float32, 2e-3)], ids=str)
def test_every_stage_equals_the_plain_twin(model: SparseRCNN, images: Tensor, dtype: torch.dtype, share: float) -> None:
    own = deepcopy(model).to(dtype)
    with torch.no_grad():
        expected = PlainSparseRCNN(deepcopy(own)).eval()(images, SIZES)
        found = own.to(CUDA)(images.to(CUDA), SIZES.to(CUDA))
    for ours, theirs in zip(found, expected, strict=True):
        for tensor, twins in zip(ours, theirs, strict=True):
            assert_near(tensor, twins, share)


@pytest.mark.parametrize(("dtype", "share"), [(torch.float64, 1e-9), (torch.float32, 5e-2)], ids=str)
def test_gradients_equal_those_of_the_cpu(model: SparseRCNN, images: Tensor, dtype: torch.dtype, share: float) -> None:
    """In single precision some inputs of a ReLU change their sign, hence the tolerance."""
    gradients = []
    for device in (torch.device("cpu"), CUDA):
        own = deepcopy(model).to(device, dtype).train()
        outputs = own(images.to(device), SIZES.to(device))
        torch.stack([tensor.square().mean() for output in outputs for tensor in output]).sum().backward()
        gradients.append({name: p.grad for name, p in own.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[0].items():
        assert_near(gradients[1][name], expected, share)


def test_pooling_equals_torchvisions_forward_and_backward() -> None:
    """Torchvision pools level by level. Some boxes are outside the image, inverted or without area."""
    torch.manual_seed(0)
    features = [torch.randn(1, 8, 704 // s, 960 // s, device=CUDA).requires_grad_() for s in (4, 8, 16, 32)]
    corner, side = torch.rand(60, 2, device=CUDA) * 1400 - 250, torch.exp(torch.rand(60, 2, device=CUDA) * 6.5) - 5
    boxes = torch.cat([corner, corner + side], dim=1)
    level_of = assign_levels(boxes, levels=4)
    expected = torch.zeros(60, 8, 7, 7, device=CUDA)
    for level, feature in enumerate(features):
        here = level_of == level
        pooled = roi_align_level(feature, [boxes[here]], 7, 1 / 2 ** (level + 2), sampling_ratio=2, aligned=True)
        expected = expected.masked_scatter(here[:, None, None, None], pooled)
    found = roi_align(as_rows(features), boxes[None], 7).transpose(1, 2).unflatten(2, (7, 7))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    weights = torch.randn_like(found)
    for ours, theirs in zip(
        torch.autograd.grad((found * weights).sum(), features),
        torch.autograd.grad((expected * weights).sum(), features),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_pooling_far_away_and_in_half_precision() -> None:
    torch.manual_seed(0)
    features = [torch.randn(1, 8, 64 // s, 96 // s) for s in (1, 2, 4, 8)]
    boxes = torch.tensor([[[-400.0, -400, 900, 900], [FAR, FAR, 2 * FAR, 2 * FAR], [5, 5, 60, 40], [9, 9, 9, 9]]])
    expected = roi_align(as_rows(features), boxes, 7)
    for dtype, share in ((torch.float32, 1e-5), (torch.bfloat16, 1e-2)):
        found = roi_align(as_rows([f.to(CUDA, dtype) for f in features]), boxes.to(CUDA), 7)
        assert found.dtype == dtype
        assert_near(found, expected, share)


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize(
    "config", [SMALL, replace(SMALL, queries="dense"), SMALL_DETR], ids=["sparse-rcnn", "dense", "detr"]
)
def test_a_replayed_cuda_graph_equals_the_eager_model(config: AnyDetectorConfig, bf16: bool) -> None:
    """Two image sizes in turn, with new images each time."""
    torch.manual_seed(0)
    model = build_detector(config).to(CUDA)
    as_if_trained(model)
    converted = for_inference(model, bf16=bf16)
    graphs = CudaGraphs(converted.detect)
    for seed in range(4):
        for height, width in ((128, 160), (96, 128)):
            generator = torch.Generator().manual_seed(seed)
            images = torch.randint(256, (2, 3, height, width), generator=generator, dtype=torch.uint8).to(CUDA)
            sizes = torch.tensor([[height, width], [height - 20, width]]).to(CUDA)
            with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=bf16):
                found, expected = graphs(images, sizes), converted.detect(images, sizes)
            assert torch.equal(found.labels, expected.labels)
            assert_near(found.boxes, expected.boxes.cpu(), 1e-5)
            assert_near(found.scores, expected.scores.cpu(), 1e-5)
    assert len(graphs) == 2


def random_images(seed: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (1, 3, height, width), generator=generator, dtype=torch.uint8)
    return images.to(CUDA), torch.tensor([[height, width]]).to(CUDA)


def test_threads_and_streams_of_their_own_capture_and_replay() -> None:
    """Each thread has its own images and its own stream; CUDA's libraries initialise themselves in each."""
    torch.manual_seed(0)
    model = SparseRCNN(SMALL).to(CUDA)
    as_if_trained(model)
    model = for_inference(model)
    graphs = CudaGraphs(model.detect)
    expected = {seed: model.detect(*random_images(seed, 96, 128)).scores.cpu() for seed in range(6)}
    detect = torch.inference_mode()(graphs)
    detect(*random_images(0, 96, 128))

    def detect_in_a_stream(first: int) -> list[tuple[int, Tensor]]:
        with torch.cuda.stream(torch.cuda.Stream()):
            seeds = [(first + step) % 6 for step in range(12)]
            return [(seed, detect(*random_images(seed, 96, 128)).scores.cpu()) for seed in seeds]

    with ThreadPoolExecutor(3) as pool:
        for seed, scores in chain.from_iterable(pool.map(detect_in_a_stream, range(3))):
            assert_near(scores, expected[seed], 1e-5)
    assert len(graphs) == 1


def test_bf16_learns_in_the_same_direction(model: SparseRCNN, images: Tensor) -> None:
    """The gradients of the backbone and of the rest each point the same way, and the same parameters learn."""
    gradients = []
    for bf16 in (False, True):
        own = deepcopy(model).to(CUDA).train()
        with torch.autocast("cuda", torch.bfloat16, enabled=bf16):
            outputs = own(images.to(CUDA), SIZES.to(CUDA))
        losses = [output.logits.square().mean() + (output.boxes / 128).square().mean() for output in outputs]
        torch.stack(losses).sum().backward()
        gradients.append({name: p.grad for name, p in own.named_parameters() if p.grad is not None and p.grad.any()})
    assert gradients[0].keys() == gradients[1].keys()
    for of_backbone in (True, False):
        names = [name for name in gradients[0] if name.startswith("backbone.") == of_backbone]
        exact, rounded = (torch.cat([of[name].flatten() for name in names]) for of in gradients)
        assert torch.cosine_similarity(exact, rounded, dim=0) > 0.7  # on a CPU 0.89 for the backbone
