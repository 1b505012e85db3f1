"""A model converted for inference computes the same up to rounding, is a copy, and cannot be saved."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.ops import FrozenBatchNorm2d

from tests.inference.cases import CATEGORIES, RESIZE
from tests.models.trained_norms import DETR, SPARSE_RCNN, as_if_trained
from uncrowd import InputError
from uncrowd.acceleration.for_inference import for_inference
from uncrowd.models.build import build_detector
from uncrowd.models.detector import Detector
from uncrowd.weights.file import load_weights, save_weights

SIZES = torch.tensor([[64, 96], [50, 70]])


@pytest.fixture(params=[SPARSE_RCNN, DETR], ids=["sparse-rcnn", "detr"])
def model(request: pytest.FixtureRequest) -> Detector:
    torch.manual_seed(0)
    model = build_detector(request.param)
    as_if_trained(model)
    return model


def images() -> Tensor:
    return torch.randint(256, (2, 3, 64, 96), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_it_computes_the_same_up_to_rounding(model: Detector) -> None:
    converted = for_inference(model)
    assert not any(isinstance(module, FrozenBatchNorm2d) for module in converted.modules())
    with torch.no_grad():
        for ours, expected in zip(converted(images(), SIZES), model.eval()(images(), SIZES), strict=True):
            for found, wanted in zip(ours, expected, strict=True):
                assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_the_model_itself_is_unchanged(model: Detector) -> None:
    before = deepcopy(model.state_dict())
    converted = for_inference(model.train())
    assert not converted.training
    assert not any(parameter.requires_grad for parameter in converted.parameters())
    assert model.training
    assert any(parameter.requires_grad for parameter in model.parameters())
    for parameter in converted.parameters():
        parameter.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_convolutions_are_laid_out_channels_last(model: Detector) -> None:
    converted = for_inference(model.to(memory_format=torch.contiguous_format))
    kernels = [p for p in converted.parameters() if p.dim() == 4 and p.shape[-1] > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def test_bf16_casts_what_autocast_would_cast_and_no_more(model: Detector) -> None:
    converted, plain = for_inference(model, bf16=True), for_inference(model)
    halves = sum(p.numel() for p in converted.parameters() if p.dtype == torch.bfloat16)
    assert halves > 0.9 * sum(p.numel() for p in model.parameters())
    assert {p.dtype for name, p in converted.named_parameters() if "class_logits" in name} == {torch.float32}
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for ours, expected in zip(converted(images(), SIZES), plain(images(), SIZES), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_it_cannot_be_saved(model: Detector, bf16: bool, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"was converted for inference, .* save the model that .*load_weights"):
        save_weights(tmp_path / "weights.safetensors", for_inference(model, bf16=bf16), CATEGORIES, RESIZE)
    assert not list(tmp_path.iterdir())


def test_evaluation_during_training_finds_what_the_saved_weights_find(model: Detector, tmp_path: Path) -> None:
    """To the bit, whatever the memory layout of the trained model."""
    save_weights(tmp_path / "weights.safetensors", model, CATEGORIES, RESIZE)
    trained = model.to(memory_format=torch.contiguous_format).train()
    found = for_inference(trained).detect(images(), SIZES)
    expected = for_inference(load_weights(tmp_path / "weights.safetensors").model).detect(images(), SIZES)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
