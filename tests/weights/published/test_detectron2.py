"""Checkpoints with Detectron2's names are imported completely: every tensor becomes exactly one of ours."""

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import swin_t

from tests.weights.published.checkpoints import as_detectron2, detectron2_name
from uncrowd.errors import InputError
from uncrowd.models.backbone import Backbone, BackboneConfig
from uncrowd.models.build import build_detector
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.weights.file import load_exactly
from uncrowd.weights.published import read_published
from uncrowd.weights.published.detectron2 import rename, rename_file
from uncrowd.weights.published.pth import PthFile
from uncrowd.weights.published.sparse_rcnn import infer_config

FIXTURES = Path(__file__).parents[2] / "fixtures" / "parity"
STAGES = {
    "sparse_rcnn": StageConfig(attention="content", interaction="entangled"),
    "iou_esa_dcw": StageConfig(attention="iou", interaction="dcw"),
}


def keys_of(name: str) -> dict[str, list[int]]:
    return json.loads((FIXTURES / f"{name}_r50_100_80_keys.json").read_text())


@pytest.mark.parametrize("name", STAGES)
def test_every_published_key_is_used_exactly_once(name: str) -> None:
    """The tensors are on the meta device: they have names and shapes but no values (half a gigabyte)."""
    tensors = {key: torch.empty(shape, device="meta") for key, shape in keys_of(name).items()}
    renamed = rename(tensors)
    assert len(renamed) == len(tensors)
    config = infer_config(renamed, name)
    assert config == SparseRCNNConfig(num_classes=80, proposals=100, stage=STAGES[name])
    with torch.device("meta"):
        model = SparseRCNN(config)
    load_exactly(model, renamed, name)
    wanted = {key: tensor.shape for key, tensor in model.state_dict().items()}
    assert {key: tensor.shape for key, tensor in renamed.items()} == wanted


def test_values_arrive_where_they_belong() -> None:
    """Every tensor is filled with a number of its own, so that exchanging two tensors of one shape is noticed."""
    keys = {k: s for k, s in keys_of("iou_esa_dcw").items() if "head_series.0" in k}
    numbers = {key: torch.tensor(float(i)).expand(shape) for i, (key, shape) in enumerate(keys.items())}
    renamed = rename(numbers)
    pairs = {
        "inst_interact.proj_cls1.weight": "interaction.class_branch.mask.reduce.weight",
        "inst_interact.proj_reg1.weight": "interaction.box_branch.mask.reduce.weight",
        "inst_interact.norm4_reg.bias": "interaction.box_branch.out.norm.bias",
        "inst_interact.norm3_cls.bias": "interaction.class_branch.mask_norm.0.bias",
        "norm_reg.bias": "interaction.box_branch.residual.1.bias",
        "norm3_cls.bias": "interaction.class_branch.feedforward.norm.bias",
        "norm1.weight": "attention_norm.weight",
        "inst_interact.norm1.weight": "interaction.dynamic_conv.norm1.weight",
        "reg_module.3.weight": "box_tower.3.weight",
    }
    for theirs, ours in pairs.items():
        assert torch.equal(renamed[f"head.stages.0.{ours}"], numbers[f"head.head_series.0.{theirs}"])


@pytest.fixture
def small() -> SparseRCNN:
    """Returns a model small enough to be saved in a test, with the smallest known backbone."""
    stage = StageConfig(width=16, dynamic_width=4, feedforward_width=32)
    torch.manual_seed(0)
    config = SparseRCNNConfig(
        num_classes=3, proposals=5, stages=2, backbone=BackboneConfig(name="resnet18"), stage=stage
    )
    return cast(SparseRCNN, build_detector(config)).eval()


@pytest.mark.parametrize("wrap", [lambda s: {"model": s, "iteration": 269_999}, lambda s: s], ids=["model", "bare"])
def test_a_published_file_becomes_the_same_model(small: SparseRCNN, tmp_path: Path, wrap: Any) -> None:
    torch.save(wrap(as_detectron2(small)), tmp_path / "model.pth")
    published = read_published(tmp_path / "model.pth")
    assert published.model.config == small.config
    assert published.naming == "the authors' release, in Detectron2's naming"
    assert published.class_names is None
    images, sizes = torch.randint(256, (1, 3, 64, 64)), torch.tensor([[64, 64]])
    for ours, theirs in zip(published.model.eval()(images, sizes), small(images, sizes), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_missing_and_surplus_keys_are_listed(small: SparseRCNN, tmp_path: Path) -> None:
    state = as_detectron2(small)
    del state["head.head_series.1.norm_cls.bias"]
    state["head.head_series.1.surprise"] = torch.zeros(2)
    torch.save({"model": state}, tmp_path / "model.pth")
    with pytest.raises(InputError) as error:
        read_published(tmp_path / "model.pth")
    assert "head.stages.1.interaction.class_branch.residual.1.bias: only in the model, (16,)" in str(error.value)
    assert "head.stages.1.surprise: only in the file, (2,)" in str(error.value)


def test_half_of_a_checkpoint_is_refused(small: SparseRCNN, tmp_path: Path) -> None:
    state = as_detectron2(small)
    half = dict(list(state.items())[: len(state) // 2])
    torch.save({"model": half}, tmp_path / "half.pth")
    with pytest.raises(InputError, match=r"half\.pth is not a complete Sparse R-CNN: head\.stages\."):
        read_published(tmp_path / "half.pth")


DAMAGED = [
    ("init_proposal_features.weight", torch.zeros(())),
    ("head.head_series.0.class_logits.weight", torch.zeros(3)),
    ("head.head_series.0.class_logits.weight", torch.zeros(3, 0)),
    ("head.head_series.0.class_logits.weight", torch.zeros(3, 20)),  # a width that no model has
    ("head.head_series.0.inst_interact.out_layer_cls.weight", torch.zeros(0)),
    ("backbone.bottom_up.res2.0.conv2.weight", torch.zeros(())),
    ("proposal_queries", torch.zeros(5, 16)),  # our name beside theirs
]


@pytest.mark.parametrize(("name", "tensor"), DAMAGED)
def test_shapes_that_no_detector_has(small: SparseRCNN, tmp_path: Path, name: str, tensor: Tensor) -> None:
    torch.save({"model": as_detectron2(small) | {name: tensor}}, tmp_path / "odd.pth")
    with pytest.raises(InputError, match=r"odd\.pth has tensors or settings that no such detector has \(.+\); give"):
        read_published(tmp_path / "odd.pth")


@pytest.mark.parametrize(
    "name",
    ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x4d"]
    + ["resnext101_32x8d", "resnext101_64x4d"]
    + [f"swin_{size}_patch4_window7_224" for size in ("tiny", "small", "base")],
)
def test_backbones_are_recognised_by_their_shapes(name: str) -> None:
    swin = {"frozen_stages": 0, "drop_path": 0.2} if name.startswith("swin") else {}
    config = SparseRCNNConfig(proposals=300, backbone=BackboneConfig(name=name, **swin))
    with torch.device("meta"):
        tensors = SparseRCNN(config).state_dict()
    assert infer_config(tensors, "a file") == config


def test_a_backbone_of_another_depth_is_refused(small: SparseRCNN) -> None:
    tensors = {name: t for name, t in small.state_dict().items() if ".layer3.1." not in name}
    with pytest.raises(InputError, match=r"holds a ResNet of \(2, 2, 1, 2\) blocks, .* which is none of resnet18,"):
        infer_config(tensors, "a file")


def swin_name(torchvision_name: str) -> str:
    """Returns torchvision's name of a tensor as the original Swin names it, and Detectron2 with it."""
    rules = [
        (r"^features\.0\.0\.", "patch_embed.proj."),
        (r"^features\.0\.2\.", "patch_embed.norm."),
        (r"^features\.([1357])\.(\d+)\.", lambda m: f"layers.{int(m[1]) // 2}.blocks.{m[2]}."),
        (r"^features\.([246])\.", lambda m: f"layers.{int(m[1]) // 2 - 1}.downsample."),
        (r"\.mlp\.0\.", ".mlp.fc1."),
        (r"\.mlp\.3\.", ".mlp.fc2."),
    ]
    for old, new in rules:
        torchvision_name = re.sub(old, new, torchvision_name)
    return f"backbone.bottom_up.{torchvision_name}"


def test_swin_computes_what_torchvisions_computes() -> None:
    """Equal features show that each tensor was copied to the right place."""
    torch.manual_seed(0)
    theirs = swin_t(weights=None).eval()
    given = {swin_name(k): v for k, v in theirs.state_dict().items() if not k.startswith(("norm.", "head."))}
    indices = [name for name in given if name.endswith("relative_position_index")]
    renamed = rename({name: tensor for name, tensor in given.items() if name not in indices})
    assert len(indices) == 12
    ours = Backbone(BackboneConfig(name="swin_tiny_patch4_window7_224")).eval()
    state = {name.removeprefix("backbone."): tensor for name, tensor in renamed.items()}
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert not unexpected
    assert sorted(missing) == sorted(f"norms.{i}.{kind}" for i in range(4) for kind in ("weight", "bias"))

    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        for i, feature in enumerate(ours(images)):
            expected = theirs.features[: 2 * i + 2](images)
            expected = nn.functional.layer_norm(expected, expected.shape[-1:]).permute(0, 3, 1, 2)
            torch.testing.assert_close(feature, expected, rtol=1e-3, atol=1e-4)


def test_every_name_of_a_swin_is_known() -> None:
    """Detectron2 numbers the norms of the outputs, and saves an index that the window size determines."""
    config = SparseRCNNConfig(
        backbone=BackboneConfig(name="swin_tiny_patch4_window7_224", frozen_stages=0, drop_path=0.2)
    )
    with torch.device("meta"):
        wanted = SparseRCNN(config).state_dict()
        table = torch.empty(49, 49)
    given = {detectron2_name(name): tensor for name, tensor in wanted.items()}
    given |= {"backbone.bottom_up.layers.0.blocks.0.attn.relative_position_index": table}
    renamed = rename_file(PthFile("a file", given, {}))
    assert renamed.config == config
    assert renamed.tensors.keys() == wanted.keys()
    assert "1 relative_position_index tensors were left out: the size of a window determines them" in renamed.notes
