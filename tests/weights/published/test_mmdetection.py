"""mmdetection's checkpoints are imported completely, with class names and with settings of their configuration."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from tests.weights.published.checkpoints import mmdetection_name
from uncrowd.errors import InputError
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.build import build_detector
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.weights.published import Published, read_published
from uncrowd.weights.published.mmdetection import recognises, rename_file
from uncrowd.weights.published.pth import PthFile

BASELINE = StageConfig(attention="content", interaction="entangled")
# One stage of the published model (80 classes), as mmdetection builds it.
STAGE = {
    "attention.attn.in_proj_weight": (768, 256),
    "attention.attn.in_proj_bias": (768,),
    "attention.attn.out_proj.weight": (256, 256),
    "attention.attn.out_proj.bias": (256,),
    "attention_norm.weight": (256,),
    "attention_norm.bias": (256,),
    "instance_interactive_conv.dynamic_layer.weight": (32768, 256),
    "instance_interactive_conv.dynamic_layer.bias": (32768,),
    "instance_interactive_conv.norm_in.weight": (64,),
    "instance_interactive_conv.norm_in.bias": (64,),
    "instance_interactive_conv.norm_out.weight": (256,),
    "instance_interactive_conv.norm_out.bias": (256,),
    "instance_interactive_conv.fc_layer.weight": (256, 12544),
    "instance_interactive_conv.fc_layer.bias": (256,),
    "instance_interactive_conv.fc_norm.weight": (256,),
    "instance_interactive_conv.fc_norm.bias": (256,),
    "instance_interactive_conv_norm.weight": (256,),
    "instance_interactive_conv_norm.bias": (256,),
    "ffn.layers.0.0.weight": (2048, 256),
    "ffn.layers.0.0.bias": (2048,),
    "ffn.layers.1.weight": (256, 2048),
    "ffn.layers.1.bias": (256,),
    "ffn_norm.weight": (256,),
    "ffn_norm.bias": (256,),
    "cls_fcs.0.weight": (256, 256),
    "cls_fcs.1.weight": (256,),
    "cls_fcs.1.bias": (256,),
    "fc_cls.weight": (80, 256),
    "fc_cls.bias": (80,),
    "fc_reg.weight": (4, 256),
    "fc_reg.bias": (4,),
}
STAGE |= {f"reg_fcs.{i}.weight": (256, 256) for i in (0, 3, 6)}
STAGE |= {f"reg_fcs.{i}.{kind}": (256,) for i in (1, 4, 7) for kind in ("weight", "bias")}
CONFIGURATION = """
model = dict(
    type='SparseRCNN',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True, pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=18, style='pytorch'),
    roi_head=dict(bbox_head=[
        dict(type='DIIHead', num_heads=8, bbox_coder=dict(
            target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.5, 0.5, 1.0, 1.0])),
        dict(type='DIIHead', num_heads=8, bbox_coder=dict(
            target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.5, 0.5, 1.0, 1.0])),
    ]))
"""


def with_counters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Adds the step counters that batch norms have when they are not frozen."""
    norms = [name.removesuffix("running_mean") for name in state if name.endswith("running_mean")]
    return state | {f"{norm}num_batches_tracked": torch.tensor(7) for norm in norms}


@pytest.fixture(scope="module")
def small() -> SparseRCNN:
    stage = StageConfig(
        attention="content", interaction="entangled", width=16, dynamic_width=4, feedforward_width=32, class_tower=2
    )
    torch.manual_seed(0)
    config = SparseRCNNConfig(
        num_classes=3, proposals=5, stages=2, backbone=BackboneConfig(name="resnet18"), stage=stage
    )
    return cast(SparseRCNN, build_detector(config)).eval()


@pytest.fixture
def read(small: SparseRCNN, tmp_path: Path) -> Any:
    """`read(CLASSES=...)` saves the small model with this meta, and reads it again."""

    def save_and_read(beside: dict[str, Any] | None = None, **meta: Any) -> Published:
        state = with_counters({mmdetection_name(name): tensor for name, tensor in small.state_dict().items()})
        torch.save({"state_dict": state, "meta": meta} | (beside or {}), tmp_path / "model.pth")
        return read_published(tmp_path / "model.pth")

    return save_and_read


def test_every_tensor_of_the_published_model_is_used_exactly_once() -> None:
    """The tensors are on the meta device: they have names and shapes of R50 with six stages, but no values."""
    config = SparseRCNNConfig(stage=BASELINE)
    with torch.device("meta"):
        wanted = SparseRCNN(config).state_dict()
        rest = {mmdetection_name(name): t for name, t in wanted.items() if not name.startswith("head.")}
        stages = {
            f"roi_head.bbox_head.{i}.{name}": torch.empty(shape) for i in range(6) for name, shape in STAGE.items()
        }
        given = with_counters(rest | stages)
    assert {"backbone.layer1.0.downsample.1.running_var", "neck.fpn_convs.3.conv.bias"} <= given.keys()
    assert recognises(given)
    renamed = rename_file(PthFile("a file", given, {}))
    assert renamed.config == config
    assert {name: t.shape for name, t in renamed.tensors.items()} == {name: t.shape for name, t in wanted.items()}
    assert renamed.notes[0].startswith("53 num_batches_tracked tensors were left out")


def test_a_file_becomes_the_same_model(small: SparseRCNN, read: Any) -> None:
    published = read()
    assert published.naming == "mmdetection's Sparse R-CNN"
    assert published.model.config == small.config
    images, sizes = torch.randint(256, (1, 3, 64, 64)), torch.tensor([[64, 64]])
    for ours, theirs in zip(published.model.eval()(images, sizes), small(images, sizes), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("meta", "names"),
    [
        ({"CLASSES": ("cat", "dog", "emu")}, ("cat", "dog", "emu")),
        ({"dataset_meta": {"classes": ["cat", "dog", "emu"], "palette": [(0, 0, 0)]}}, ("cat", "dog", "emu")),
        ({"dataset_meta": {"CLASSES": ("cat", "dog", "emu")}}, ("cat", "dog", "emu")),
        ({"CLASSES": None}, None),
        ({}, None),
    ],
)
def test_class_names_of_both_versions_are_read(read: Any, meta: dict[str, Any], names: Any) -> None:
    assert read(**meta).class_names == names


def test_another_number_of_names_is_refused(read: Any) -> None:
    """The class head of a softmax has one row more than there are classes."""
    with pytest.raises(
        InputError, match=r"names 2 classes but scores 3; only class heads with one sigmoid for each class"
    ):
        read(CLASSES=("cat", "dog"))


def test_notes_name_what_is_left_out(read: Any) -> None:
    notes = read({"ema_state_dict": {}, "optimizer": {"state": {}}}).notes
    assert notes[0].startswith("20 num_batches_tracked tensors were left out")
    assert notes[1] == "ema_state_dict was left out: mmdetection keeps the averaged weights under state_dict"
    assert notes[2].startswith("the file does not state the number of attention heads and the pixel mean")


@pytest.mark.parametrize("key", ["cfg", "config"])
def test_settings_that_tensors_do_not_reveal_come_from_the_configuration(read: Any, key: str) -> None:
    text = CONFIGURATION.replace("num_heads=8", "num_heads=4").replace("123.675", "100.0")
    published = read(**{key: text})
    assert published.model.config.stage.heads == 4
    assert published.model.config.backbone.mean == (100.0, 116.28, 103.53)
    assert len(published.notes) == 1


@pytest.mark.parametrize(
    ("theirs", "other", "sentence"),
    [
        ("bgr_to_rgb=True", "bgr_to_rgb=False", "BGR pixels or with a Caffe-style backbone"),
        ("style='pytorch'", "style='caffe'", "BGR pixels or with a Caffe-style backbone"),
        ("[0.5, 0.5, 1.0, 1.0]", "[0.1, 0.1, 0.2, 0.2]", r"target_stds \(0\.1, 0\.1, 0\.2, 0\.2\); only"),
    ],
)
def test_models_that_compute_differently_are_refused(read: Any, theirs: str, other: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read(cfg=CONFIGURATION.replace(theirs, other))
    assert len(read(cfg=CONFIGURATION).notes) == 1, "unchanged, it is taken"


def test_surplus_and_missing_tensors_are_listed(small: SparseRCNN, tmp_path: Path) -> None:
    state = {mmdetection_name(name): tensor for name, tensor in small.state_dict().items()}
    del state["roi_head.bbox_head.1.fc_reg.bias"]
    state["roi_head.mask_head.0.conv_logits.bias"] = torch.zeros(3)
    torch.save({"state_dict": state}, tmp_path / "model.pth")
    with pytest.raises(InputError) as caught:
        read_published(tmp_path / "model.pth")
    assert "head.stages.1.box_deltas.bias: only in the model, (4,)" in str(caught.value)
    assert "roi_head.mask_head.0.conv_logits.bias: only in the file, (3,)" in str(caught.value)


def test_half_of_a_checkpoint_is_refused(small: SparseRCNN, tmp_path: Path) -> None:
    state = {mmdetection_name(name): tensor for name, tensor in small.state_dict().items()}
    torch.save({"state_dict": {k: v for k, v in state.items() if "bbox_head" in k}}, tmp_path / "half.pth")
    with pytest.raises(InputError, match=r"is not a complete Sparse R-CNN: proposal_queries \(our name\) is missing"):
        read_published(tmp_path / "half.pth")
