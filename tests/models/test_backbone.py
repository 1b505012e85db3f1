"""Any timm network can be the backbone, frozen and normalised as configured, from weights that are checked."""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from timm.layers.drop import DropPath
from timm.layers.norm_act import GroupNormAct
from torch import Tensor, nn

from tests.runs_code import RunsCode
from uncrowd.errors import InputError
from uncrowd.models import backbone as module
from uncrowd.models.backbone import Backbone, BackboneConfig

TINY = "test_efficientnet"  # timm's smallest network with strides 4 to 32


def random_state(body: nn.Module) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
        for name, tensor in body.state_dict().items()
    }


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet18", [64, 128, 256, 512]),
        ("mobilenetv2_100", [24, 32, 96, 320]),
        ("swin_tiny_patch4_window7_224", [96, 192, 384, 768]),
    ],
)
def test_four_maps_channels_first_at_strides_4_to_32(name: str, channels: list[int]) -> None:
    backbone = Backbone(BackboneConfig(name=name, norm="group", frozen_stages=0))
    maps = backbone(torch.randn(1, 3, 64, 96))
    assert backbone.channels == channels
    assert [tuple(m.shape) for m in maps] == [
        (1, c, 64 // s, 96 // s) for c, s in zip(channels, (4, 8, 16, 32), strict=True)
    ]


def test_swin_gets_a_norm_on_each_map() -> None:
    maps = Backbone(BackboneConfig(name="swin_tiny_patch4_window7_224", frozen_stages=0))(torch.randn(1, 3, 64, 64))
    for feature in maps:
        torch.testing.assert_close(feature.mean(dim=1), torch.zeros(1, *feature.shape[-2:]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_stochastic_depth_has_the_configured_rate(rate: float) -> None:
    """timm's Swin has a rate of 0.1 by default; our default of 0 switches it off."""
    backbone = Backbone(BackboneConfig(name="swin_tiny_patch4_window7_224", frozen_stages=0, drop_path=rate))
    rates = [module.drop_prob for module in backbone.body.modules() if isinstance(module, DropPath)]
    assert max(rates) == pytest.approx(rate)


def test_stochastic_depth_is_refused_where_there_is_none() -> None:
    with pytest.raises(InputError, match="'dla34' has no stochastic depth"):
        Backbone(BackboneConfig(name="dla34", frozen_stages=0, drop_path=0.1))
    for rate in (-0.1, 1.0):
        with pytest.raises(InputError, match="drop_path"):
            BackboneConfig(drop_path=rate)


def test_group_norm_replaces_every_batch_norm_and_keeps_its_initial_weights() -> None:
    backbone = Backbone(BackboneConfig(name="resnet18", norm="group", frozen_stages=0))
    norms = [m for m in backbone.modules() if isinstance(m, nn.GroupNorm)]
    assert len(norms) == 20
    assert not any(isinstance(m, nn.BatchNorm2d) for m in backbone.modules())
    # timm starts the last norm of each block at zero
    assert not backbone.body.get_parameter("layer1.0.bn2.weight").any()
    assert backbone.body.get_parameter("layer1.0.bn1.weight").eq(1).all()


def test_group_norm_keeps_the_activation_of_timms_norm() -> None:
    backbone = Backbone(BackboneConfig(name="mobilenetv2_100", norm="group", frozen_stages=0))
    norm = backbone.body.get_submodule("bn1")
    assert isinstance(norm, GroupNormAct)
    assert isinstance(norm.act, nn.ReLU6)
    assert norm.num_channels % norm.num_groups == 0


def test_an_image_does_not_depend_on_the_rest_of_its_batch() -> None:
    backbone = Backbone(BackboneConfig(name=TINY, norm="group", frozen_stages=0))
    images = torch.randn(2, 3, 64, 64)
    for together, alone in zip(backbone(images), backbone(images[:1]), strict=True):
        torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-4)


def test_frozen_batch_norm_does_not_learn_and_does_not_drift() -> None:
    backbone = Backbone(BackboneConfig(name=TINY)).train()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    backbone(torch.randn(2, 3, 64, 64))
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    assert not any("bn" in name for name, _ in backbone.named_parameters())


@pytest.mark.parametrize(
    ("name", "stages", "frozen"),
    [
        ("resnet18", 0, set()),
        ("resnet18", 1, {"conv1", "bn1"}),
        ("resnet18", 2, {"conv1", "bn1", "layer1"}),
        ("resnet18", 5, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
        ("swin_tiny_patch4_window7_224", 2, {"patch_embed", "layers_0"}),
    ],
)
def test_exactly_the_frozen_stages_are_frozen(name: str, stages: int, frozen: set[str]) -> None:
    body = Backbone(BackboneConfig(name=name, norm="group", frozen_stages=stages)).body
    parameters = list(body.named_parameters())
    assert {n.split(".")[0] for n, p in parameters if not p.requires_grad} == frozen
    assert not {n.split(".")[0] for n, p in parameters if p.requires_grad} & frozen


def test_a_module_between_two_maps_is_frozen_with_the_later() -> None:
    """MobileNetV2's maps of stride 4, 8, 16 come from blocks 1, 2, 4; block 3 leads to the third."""
    body = Backbone(BackboneConfig(name="mobilenetv2_100", norm="group", frozen_stages=3)).body
    frozen = {name for name, p in body.named_parameters() if not p.requires_grad}
    assert {name.split(".")[1] for name in frozen if name.startswith("blocks")} == {"0", "1", "2"}


def test_loading_by_name(tmp_path: Path) -> None:
    config = BackboneConfig(name=TINY, pretrained=str(tmp_path / "weights.safetensors"))
    backbone = Backbone(config)
    state = {**random_state(backbone.body), "classifier.weight": torch.zeros(10, 64)}  # not used
    save_file(state, tmp_path / "weights.safetensors")
    assert "loaded by name" in backbone.load_pretrained()
    assert all(torch.equal(tensor, state[name]) for name, tensor in backbone.body.state_dict().items())


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s}])
def test_loading_a_pth_bare_or_under_a_usual_key(tmp_path: Path, wrap: Any) -> None:
    backbone = Backbone(BackboneConfig(name=TINY, pretrained=str(tmp_path / "weights.pth")))
    state = random_state(backbone.body)
    torch.save(wrap(state), tmp_path / "weights.pth")
    assert "loaded by name" in backbone.load_pretrained()
    assert all(torch.equal(tensor, state[name]) for name, tensor in backbone.body.state_dict().items())


def torchvision_mobilenet() -> dict[str, Tensor]:
    """MobileNetV2 under torchvision's names (features.0.0.weight ...), with a classifier at its end."""
    return random_state(torchvision.models.mobilenet_v2(weights=None))


def test_the_same_network_under_other_names_is_loaded_by_order(tmp_path: Path) -> None:
    state = torchvision_mobilenet()
    torch.save(OrderedDict(state), tmp_path / "mobilenet.pth")
    backbone = Backbone(BackboneConfig(name="mobilenetv2_100", pretrained=str(tmp_path / "mobilenet.pth")))
    assert "loaded by order" in backbone.load_pretrained()
    body = backbone.body.state_dict()
    assert torch.equal(body["conv_stem.weight"], state["features.0.0.weight"])
    assert torch.equal(body["bn1.bias"], state["features.0.1.bias"])
    assert torch.equal(body["blocks.1.0.bn2.weight"], state["features.2.conv.1.1.weight"])
    assert torch.equal(body["blocks.6.0.bn3.weight"], state["features.17.conv.3.weight"])


def test_weights_trained_with_batch_norm_are_refused_for_group_norm(tmp_path: Path) -> None:
    torch.save(torchvision_mobilenet(), tmp_path / "mobilenet.pth")
    config = BackboneConfig(name="mobilenetv2_100", pretrained=str(tmp_path / "mobilenet.pth"), norm="group")
    with pytest.raises(InputError, match="choose `norm` 'frozen_batch'"):
        Backbone(config).load_pretrained()


def test_timms_weights_for_other_mean_and_std_are_refused() -> None:
    config = BackboneConfig(name="tf_efficientnetv2_s.in21k_ft_in1k", pretrained="timm")
    with pytest.raises(InputError, match=r"expect pixels of mean \[127.5, 127.5, 127.5\]"):
        Backbone(config).load_pretrained()


def test_with_torchvisions_weights_features_equal_torchvisions(tmp_path: Path) -> None:
    theirs = torchvision.models.mobilenet_v2(weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "mobilenet.pth")
    ours = Backbone(BackboneConfig(name="mobilenetv2_100", pretrained=str(tmp_path / "mobilenet.pth"))).eval()
    ours.load_pretrained()
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(ours(images)[-1], theirs.features[:18](images), rtol=1e-4, atol=1e-4)


def test_files_without_weights_are_refused(tmp_path: Path) -> None:
    def load(path: Path) -> None:
        Backbone(BackboneConfig(name=TINY, pretrained=str(path))).load_pretrained()

    with pytest.raises(InputError, match=r"missing\.pth do not exist"):
        load(tmp_path / "missing.pth")
    for name in ("garbage.pth", "garbage.safetensors", "empty.pth"):
        (tmp_path / name).write_bytes(b"" if name.startswith("empty") else b"no weights at all")
        with pytest.raises(InputError, match=name):
            load(tmp_path / name)
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(InputError, match="no dictionary of tensors"):
        load(tmp_path / "list.pth")


def test_a_pickle_that_runs_code_is_refused_before_it_runs(tmp_path: Path) -> None:
    torch.save({"model": RunsCode(tmp_path / "run by torch")}, tmp_path / "evil.pth")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(RunsCode(tmp_path / "run by pickle"), protocol=2))
    for name in ("evil.pth", "evil.pkl"):
        with pytest.raises(InputError, match=name):
            Backbone(BackboneConfig(name=TINY, pretrained=str(tmp_path / name))).load_pretrained()
    assert {path.name for path in tmp_path.iterdir()} == {"evil.pth", "evil.pkl"}


def test_another_network_is_refused(tmp_path: Path) -> None:
    backbone = Backbone(BackboneConfig(name=TINY, pretrained=str(tmp_path / "weights.pth")))
    state = random_state(backbone.body)
    first = next(iter(state))
    torch.save({**state, first: torch.zeros(1, 2, 3)}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=rf"{first} has shape \(1, 2, 3\)"):
        backbone.load_pretrained()
    torch.save({"only": torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match="holds 1 modules, the backbone has 28"):
        backbone.load_pretrained()


def test_frozen_parts_need_pretrained_weights() -> None:
    with pytest.raises(InputError, match=r"needs pretrained weights: .* `norm` 'group' and `frozen_stages` 0"):
        Backbone(BackboneConfig(name=TINY)).load_pretrained()
    with pytest.raises(InputError, match="would freeze 2 stages at random values"):
        Backbone(BackboneConfig(name=TINY, norm="group")).load_pretrained()
    said = Backbone(BackboneConfig(name=TINY, norm="group", frozen_stages=0)).load_pretrained()
    assert "RANDOM" in said


def test_timm_without_a_network_connection_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = Backbone(BackboneConfig(name=TINY, pretrained="timm"))

    def offline(name: str, pretrained: bool) -> nn.Module:
        raise OSError("no route to host")

    monkeypatch.setattr(module.timm, "create_model", offline)
    with pytest.raises(InputError, match="name a local file"):
        backbone.load_pretrained()


def test_unsuitable_networks_are_refused() -> None:
    for name in ("resnet51", "microsoft/resnet-50", "hf-hub:timm/resnet18", "local-dir:nowhere"):
        with pytest.raises(InputError, match=f"timm has no backbone '{name}'"):
            Backbone(BackboneConfig(name=name))
    with pytest.raises(InputError, match="choose one with 4, 8, 16, 32"):
        Backbone(BackboneConfig(name="test_vit"))
    # a pyramid cannot use convolutions without padding, nor windows that do not divide the map
    with pytest.raises(InputError, match=r"'legacy_xception' turns 96 x 96 pixels into maps of 23 x 23, 12 x 12"):
        Backbone(BackboneConfig(name="legacy_xception")).require_exact_strides()
    with pytest.raises(
        InputError, match=r"'maxvit_tiny_tf_224' does not accept images of 96 x 96 \(.* divisible by window"
    ):
        Backbone(BackboneConfig(name="maxvit_tiny_tf_224")).require_exact_strides()
    with pytest.raises(ValueError, match="frozen_stages is 6"):
        BackboneConfig(frozen_stages=6)
