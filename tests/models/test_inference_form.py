"""A model that only looks computes what it did, to the bit, and is neither saved nor taken for one to train."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch

from tests.inference.cases import CATEGORIES, RESIZE
from tests.models.trained_norms import DETR, SPARSE_RCNN, as_if_trained
from uncrowd import InputError
from uncrowd.models.build import AnyDetectorConfig, build_detector
from uncrowd.models.compiled import compile_whole
from uncrowd.models.folding import FoldedConv2d
from uncrowd.models.inference_form import for_inference
from uncrowd.weights.file import save_weights


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("config", [SPARSE_RCNN, DETR], ids=["sparse-rcnn", "detr"])
def test_it_computes_the_same_to_the_bit(config: AnyDetectorConfig, bf16: bool) -> None:
    torch.manual_seed(0)
    model = build_detector(config).eval()
    as_if_trained(model)
    images, sizes = torch.randint(256, (2, 3, 64, 96), dtype=torch.uint8), torch.tensor([[64, 96], [50, 70]])
    looking = deepcopy(model)
    for_inference(looking, bf16=bf16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for ours, expected in zip(looking(images, sizes), model(images, sizes), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))
    folded = [[m.bias is None for m in each.modules() if isinstance(m, FoldedConv2d)] for each in (model, looking)]
    assert set(folded[0]) == {True}
    assert set(folded[1]) == {False}
    halves = sum(p.numel() for p in looking.parameters() if p.dtype == torch.bfloat16)
    assert halves == 0 if not bf16 else halves > 0.9 * sum(p.numel() for p in model.parameters())
    assert {p.dtype for name, p in looking.named_parameters() if "class_logits" in name} == {torch.float32}


def test_it_is_not_saved(tmp_path: Path) -> None:
    model = build_detector(SPARSE_RCNN)
    for_inference(model, bf16=False)
    with pytest.raises(InputError, match=r"was loaded to look at images, .* take the model of .*load_weights"):
        save_weights(tmp_path / "weights.safetensors", model, CATEGORIES, RESIZE)
    assert not list(tmp_path.iterdir())


def test_what_is_recorded_is_dropped_when_weights_move_or_are_compiled() -> None:
    model = build_detector(SPARSE_RCNN)
    assert model.to(torch.float64).recordings is None  # for training
    for_inference(model, bf16=False)
    before = model.recordings
    assert before is not None
    assert model.to(torch.float32).recordings not in (None, before)
    compile_whole(model)
    assert model.recordings is None
