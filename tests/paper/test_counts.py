"""Parameters and multiply-accumulates are those of the paper's tables, and of the models they were measured on."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.cost import COCO_PIXELS, Cost, measure
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import Stage, StageConfig

BASELINE = StageConfig(attention="content", interaction="entangled")
OURS = StageConfig(attention="iou", interaction="dcw")
SWIN = BackboneConfig(name="swin_tiny_patch4_window7_224", frozen_stages=0, drop_path=0.2)
R50, R101 = BackboneConfig(name="resnet50"), BackboneConfig(name="resnet101")


def on_meta(backbone: BackboneConfig, stage: StageConfig, proposals: int = 100, num_classes: int = 80) -> SparseRCNN:
    config = SparseRCNNConfig(num_classes=num_classes, proposals=proposals, backbone=backbone, stage=stage)
    with torch.device("meta"):
        return SparseRCNN(config)


@cache
def cost(
    backbone: BackboneConfig, stage: StageConfig, proposals: int = 100, size: tuple[int, int] = (128, 160)
) -> Cost:
    return measure(on_meta(backbone, stage, proposals), *size)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("backbone", "proposals", "num_classes", "baseline", "ours"),
    [
        (R50, 100, 80, 106_237_768, 132_823_240),
        (R101, 100, 80, 125_177_672, 151_763_144),
        (R50, 300, 80, 106_289_768, 132_875_240),
        (R101, 300, 80, 125_229_672, 151_815_144),
        (SWIN, 300, 80, 109_741_154, 136_326_626),
        (R50, 500, 1, 106_219_950, 132_805_422),  # CrowdHuman
    ],
    ids=["R50-100", "R101-100", "R50-300", "R101-300", "SwinT-300", "CrowdHuman"],
)
def test_parameters(backbone: BackboneConfig, proposals: int, num_classes: int, baseline: int, ours: int) -> None:
    assert parameters(on_meta(backbone, BASELINE, proposals, num_classes)) == baseline
    assert parameters(on_meta(backbone, OURS, proposals, num_classes)) == ours


def test_parameters_of_the_ablations_of_table_2() -> None:
    assert cost(R50, replace(BASELINE, interaction="half")).parameters == 97_019_464  # 97.0M in the paper
    assert cost(R50, replace(BASELINE, interaction="full")).parameters == 103_312_456


def test_parameters_of_a_stage() -> None:
    with torch.device("meta"):
        baseline, ours = (parameters(Stage(config, num_classes=80)) for config in (BASELINE, OURS))
    assert baseline == 13_235_412
    assert ours - baseline == 4_430_912


def test_iou_enhanced_attention_adds_no_parameter() -> None:
    with torch.device("meta"):
        plain, enhanced = (Stage(replace(BASELINE, attention=kind), num_classes=80) for kind in ("content", "iou"))
    assert parameters(plain) == parameters(enhanced)


@pytest.mark.parametrize(("backbone", "expected"), [(R50, 81_456), (R101, 155_440)], ids=["R50", "R101"])
def test_macs_a_pixel(backbone: BackboneConfig, expected: int) -> None:
    measured = cost(backbone, BASELINE)
    assert measured.macs["backbone"] == expected * measured.pixels
    assert measured.macs["pyramid"] == 56_640 * measured.pixels


@pytest.mark.parametrize(("proposals", "head", "modules"), [(100, 8.96, 2.73), (300, 27.08, 8.20)])
def test_macs_of_the_head(proposals: int, head: float, modules: float) -> None:
    baseline = cost(R50, BASELINE, proposals).macs["head"]
    assert baseline / 1e9 == pytest.approx(head, abs=0.005)
    assert (cost(R50, OURS, proposals).macs["head"] - baseline) / 1e9 == pytest.approx(modules, abs=0.005)


@pytest.mark.parametrize(
    ("backbone", "proposals", "baseline", "ours"),
    [(R50, 100, 134, 137), (R101, 100, 201, 203), (R50, 300, 152, 160), (R101, 300, 219, 227)],
    ids=["R50-100", "R101-100", "R50-300", "R101-300"],
)
def test_gflops_of_the_papers_main_table(backbone: BackboneConfig, proposals: int, baseline: int, ours: int) -> None:
    assert round(cost(backbone, BASELINE, proposals).macs_at(COCO_PIXELS) / 1e9) == baseline
    assert round(cost(backbone, OURS, proposals).macs_at(COCO_PIXELS) / 1e9) == ours


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (replace(BASELINE, interaction="half"), 132.9),  # Table 2
        (replace(BASELINE, interaction="full"), 133.5),  # the paper's cell is unreadable; our reading of Fig. 3c
        (replace(BASELINE, attention="none"), 133.6),  # Table 1
    ],
    ids=["half", "full", "none"],
)
def test_gflops_of_the_ablations(stage: StageConfig, expected: float) -> None:
    assert round(cost(R50, stage).macs_at(COCO_PIXELS) / 1e9, 1) == expected


def test_swin_costs_what_the_paper_says_within_its_dependence_on_the_shape() -> None:
    """158G and 167G in the paper; windows pad the maps, so that the figure depends on the picture's shape."""
    baseline, ours = (cost(SWIN, stage, proposals=300, size=(800, 1120)) for stage in (BASELINE, OURS))
    assert baseline.macs_at(COCO_PIXELS) / 1e9 == pytest.approx(158, abs=1.5)
    assert ours.macs_at(COCO_PIXELS) / 1e9 == pytest.approx(167, abs=1.5)


def test_a_cost_belongs_to_parts_that_add_up() -> None:
    measured = cost(R50, OURS)
    assert set(measured.macs) == {"backbone", "pyramid", "head"}
    assert measured.macs_at(measured.pixels) == sum(measured.macs.values())
