"""Parameters and multiply-accumulates of DETR, with the paper's modules and without, equal those of its authors."""

from functools import cache
from typing import Any

import pytest
import torch

from uncrowd.models.cost import Cost, measure
from uncrowd.models.detr import DETR, DETRConfig

COCO_SIZE = (800, 1120)


def on_meta(num_classes: int = 80, **variant: Any) -> DETR:
    with torch.device("meta"):
        return DETR(DETRConfig(num_classes=num_classes, **variant))


def parameters(model: DETR, *, trained: bool) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad or not trained)


def test_parameter_counts_are_the_originals() -> None:
    """DETR's training prints 41,302,368: with rows for 91 category ids, without the frozen stem and res2."""
    model = on_meta(num_classes=91)
    frozen = 7 * 7 * 3 * 64 + (3 * 3 * 64 * 64) * 3 + 64 * 64 + 64 * 256 * 5 + 64 * 256
    assert parameters(model, trained=True) == 41_302_368
    assert parameters(model, trained=False) == 41_302_368 + frozen == 41_524_768
    assert parameters(on_meta(), trained=False) == 41_524_768 - 11 * (256 + 1)


def test_parameters_of_table_10() -> None:
    """41M and 48M, counted as the original does: each layer gets a second feed-forward with norm, and two masks."""
    original, ours = on_meta(), on_meta(attention="iou", interaction="dcw")
    assert round(parameters(original, trained=True) / 1e6) == 41
    assert round(parameters(ours, trained=True) / 1e6) == 48
    feedforward = 2 * 256 * 2048 + 2048 + 256 + 2 * 256
    mask = 2 * 256 * 32 + 32 + 256
    assert parameters(ours, trained=True) - parameters(original, trained=True) == 6 * (feedforward + 2 * mask)
    assert parameters(on_meta(attention="iou"), trained=True) == parameters(original, trained=True)


@cache
def macs_of_the_original() -> Cost:
    return measure(on_meta(), *COCO_SIZE)


def test_macs_of_table_10() -> None:
    """For an average padded image: 85.4G and 86.05G. The table has 86G twice.

    86G is DETR's own figure, the average of COCO val's first 100 images without padding. The modules add 0.65G.
    """
    original = macs_of_the_original()
    ours = measure(on_meta(attention="iou", interaction="dcw"), *COCO_SIZE)
    assert set(original.macs) == {"backbone", "projection", "encoder", "decoder"}
    assert original.macs_at(904_000) / 1e9 == pytest.approx(85.4, abs=0.05)
    assert ours.macs_at(904_000) / 1e9 == pytest.approx(86.05, abs=0.05)
    assert original.macs["backbone"] == 81_456 * original.pixels


def test_macs_by_hand() -> None:
    """For the encoder and one decoder layer with both modules, with k cells and 100 queries."""
    model = on_meta(attention="iou", interaction="dcw", decoder_layers=1)
    counted = measure(model, *COCO_SIZE).macs
    k, n, d, hidden = 25 * 35, 100, 256, 2048
    layer_norm = 5 * d
    encoder = k * (4 * d * d + 2 * k * d + 2 * d * hidden + 2 * layer_norm)
    self_attention = n * (4 * d * d + 2 * n * d + layer_norm)
    cross_attention = n * (2 * d * d + 2 * k * d + layer_norm) + k * 2 * d * d
    branch = n * (2 * d * d // 8 + 2 * d * hidden + layer_norm)
    heads = n * (2 * layer_norm + d * 81 + 2 * d * d + d * 4)
    assert counted["encoder"] == 6 * encoder
    assert counted["decoder"] == self_attention + cross_attention + 2 * branch + heads


def test_scaling_to_a_similar_size_is_close() -> None:
    counted, larger = macs_of_the_original(), measure(on_meta(), 832, 1088)
    assert counted.macs_at(larger.pixels) == pytest.approx(larger.macs_at(larger.pixels), rel=5e-4)
