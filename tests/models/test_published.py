"""Published checkpoints come in whole: every tensor of theirs is one of ours, once, and no pickle runs code."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from uncrowd.errors import InputError
from uncrowd.models import published
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.published import infer_config, read_published, rename
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.models.weights import load_exactly

FIXTURES = Path(__file__).parents[1] / "fixtures" / "parity"
STAGES = {
    "sparse_rcnn": StageConfig(attention="content", interaction="entangled"),
    "iou_esa_dcw": StageConfig(attention="iou", interaction="dcw"),
}
# Ours to the authors' names: the rules of `published`, backwards.
TO_TRUNK = [
    (r"^pyramid\.fpn\.inner_blocks\.(\d)\.0\.", lambda m: f"backbone.fpn_lateral{int(m[1]) + 2}."),
    (r"^pyramid\.fpn\.layer_blocks\.(\d)\.0\.", lambda m: f"backbone.fpn_output{int(m[1]) + 2}."),
    (r"^backbone\.body\.conv1\.", "backbone.bottom_up.stem.conv1."),
    (r"^backbone\.body\.bn1\.", "backbone.bottom_up.stem.conv1.norm."),
    (r"^backbone\.body\.layer(\d)\.", lambda m: f"backbone.bottom_up.res{int(m[1]) + 1}."),
    (r"(res\d\.\d+)\.bn(\d)\.", r"\1.conv\2.norm."),
    (r"(res\d\.\d+)\.downsample\.0\.", r"\1.shortcut."),
    (r"(res\d\.\d+)\.downsample\.1\.", r"\1.shortcut.norm."),
    (r"^proposal_boxes_cxcywh_norm$", "init_proposal_boxes.weight"),
    (r"^proposal_queries$", "init_proposal_features.weight"),
    (r"^head\.stages\.", "head.head_series."),
    (r"class_branch|class_tower", lambda m: m[0].replace("class", "cls")),
    (r"box_branch|box_tower", lambda m: m[0].replace("box", "reg")),
    (r"(cls|reg)_tower", r"\1_module"),
    (r"box_deltas", "bboxes_delta"),
    (r"attention\.qkv", "self_attn.proj_qkv"),
    (r"attention\.out", "self_attn.out_proj"),
    (r"attention_norm", "norm1"),
    (r"interaction\.dynamic_conv\.kernels", "inst_interact.dynamic_layer"),
    (r"interaction\.dynamic_conv\.", "inst_interact."),
    (r"interaction\.(cls|reg)_branch\.mask\.reduce", r"inst_interact.proj_\g<1>1"),
    (r"interaction\.(cls|reg)_branch\.mask\.expand", r"inst_interact.proj_\g<1>2"),
    (r"interaction\.(cls|reg)_branch\.mask_norm\.0", r"inst_interact.norm3_\1"),
    (r"interaction\.(cls|reg)_branch\.out\.linear", r"inst_interact.out_layer_\1"),
    (r"interaction\.(cls|reg)_branch\.out\.norm", r"inst_interact.norm4_\1"),
    (r"interaction\.(cls|reg)_branch\.feedforward\.norm", r"norm3_\1"),
    (r"interaction\.(cls|reg)_branch\.feedforward\.(linear\d)", r"\2_\1"),
    (r"interaction\.(cls|reg)_branch\.norm", r"norm2_\1"),
    (r"interaction\.(cls|reg)_branch\.residual\.0", r"proj_\1"),
    (r"interaction\.(cls|reg)_branch\.residual\.1", r"norm_\1"),
]


def published_name(name: str) -> str:
    for old, new in TO_TRUNK:
        name = re.sub(old, new, name)
    return name


def keys_of(name: str) -> dict[str, list[int]]:
    return json.loads((FIXTURES / f"{name}_r50_100_80_keys.json").read_text())


@pytest.mark.parametrize("name", STAGES)
def test_every_published_key_is_used_exactly_once(name: str) -> None:
    """On the meta device: half a gigabyte of names and shapes, and no byte of weights."""
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
    """One number a tensor, spread to its shape, so that a mix-up of two tensors of one shape would show."""
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
def small(monkeypatch: pytest.MonkeyPatch) -> SparseRCNN:
    """A model small enough for a file in a test; the reader tells a backbone by its blocks, and learns of one more."""
    monkeypatch.setitem(published._RESNETS, 2, "resnet18")
    stage = StageConfig(width=16, dynamic_width=4, feedforward_width=32)
    torch.manual_seed(0)
    return SparseRCNN(
        SparseRCNNConfig(num_classes=3, proposals=5, stages=2, backbone=BackboneConfig(name="resnet18"), stage=stage)
    ).eval()


def published_state(model: SparseRCNN) -> dict[str, Tensor]:
    return {published_name(name): tensor for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("wrap", [lambda s: {"model": s, "iteration": 269_999}, lambda s: s], ids=["model", "bare"])
def test_a_published_file_becomes_the_same_model(small: SparseRCNN, tmp_path: Path, wrap: Any) -> None:
    torch.save(wrap(published_state(small)), tmp_path / "model.pth")
    loaded = read_published(tmp_path / "model.pth").eval()
    assert loaded.config == small.config
    images, sizes = torch.randint(256, (1, 3, 64, 64)), torch.tensor([[64, 64]])
    for ours, theirs in zip(loaded(images, sizes), small(images, sizes), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_missing_and_surplus_keys_are_listed(small: SparseRCNN, tmp_path: Path) -> None:
    state = published_state(small)
    del state["head.head_series.1.norm_cls.bias"]
    state["head.head_series.1.surprise"] = torch.zeros(2)
    torch.save({"model": state}, tmp_path / "model.pth")
    with pytest.raises(InputError) as error:
        read_published(tmp_path / "model.pth")
    assert "head.stages.1.interaction.class_branch.residual.1.bias: only in the model, (16,)" in str(error.value)
    assert "head.stages.1.surprise: only in the file, (2,)" in str(error.value)


def test_other_checkpoints_are_refused(small: SparseRCNN, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"model": {"conv.weight": torch.zeros(3)}}, path)
    with pytest.raises(InputError, match="no Sparse R-CNN checkpoint in Detectron2's naming"):
        read_published(path)
    torch.save({"model": [1, 2]}, path)
    with pytest.raises(InputError, match="no dictionary of tensors"):
        read_published(path)
    torch.save({k: v for k, v in published_state(small).items() if ".res4." not in k}, path)
    with pytest.raises(InputError, match="a backbone with 0 blocks in res4"):
        read_published(path)
    path.write_bytes(b"garbage")
    with pytest.raises(InputError, match=r"model\.pth is no PyTorch checkpoint"):
        read_published(path)
    with pytest.raises(InputError, match="does not exist"):
        read_published(tmp_path / "missing.pth")


class RunsCode:
    """A pickle that makes a folder when it is read."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


def test_a_pickle_that_runs_code_is_refused_and_does_not(tmp_path: Path) -> None:
    torch.save({"model": RunsCode(tmp_path / "made by the pickle")}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="without running code"):
        read_published(tmp_path / "evil.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pth"]
