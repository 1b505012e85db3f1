"""Fusing a frozen norm into its convolution changes the outputs only by rounding."""

import warnings
from copy import deepcopy
from typing import Any

import pytest
import timm
import torch
from timm.layers.norm_act import FrozenBatchNormAct2d, freeze_batch_norm_2d
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from tests.ops.interpreted import DEVICE, bias_relu_kernel
from uncrowd.acceleration.fuse import BiasReLU, fuse_frozen_norms


def frozen(name: str, **options: Any) -> nn.Module:
    """A network with norms like trained ones: no two channels are equal, and no value is zero."""
    torch.manual_seed(0)
    network = timm.create_model(name, features_only=True, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.weight, 0.5), (module.bias, -0.2), (module.running_mean, -0.2)):
                assert tensor is not None
                nn.init.uniform_(tensor, low, low + 0.5)
            assert module.running_var is not None
            nn.init.uniform_(module.running_var, 0.5, 2)
    for child_name, child in network.named_children():
        setattr(network, child_name, freeze_batch_norm_2d(child))
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, FrozenBatchNorm2d | FrozenBatchNormAct2d) for module in network.modules())


@torch.no_grad()
def outputs(network: nn.Module, image: Tensor) -> list[Tensor]:
    return network(image)


# basic blocks, a deep stem, bottlenecks, groups, norms with an activation of their own, norms before convolutions
@pytest.mark.parametrize(
    ("name", "left"),
    [("resnet18", 0), ("resnet18d", 0), ("resnext50_32x4d", 0), ("test_efficientnet", 0), ("resnetv2_50", 16)],
)
@pytest.mark.parametrize("late_bias", [False, True])
def test_a_fused_network_computes_what_it_does_with_norms(name: str, left: int, late_bias: bool) -> None:
    plain = frozen(name).double()
    fused = deepcopy(plain)
    fuse_frozen_norms(fused, late_bias=late_bias and name != "test_efficientnet")
    assert norms(plain) > left == norms(fused)
    # Not channels last, so that late biases are added by plain PyTorch.
    image = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    for ours, expected in zip(outputs(fused, image), outputs(plain, image), strict=True):
        torch.testing.assert_close(ours, expected)


class TwoReaders(nn.Module):
    """The norm is not the only reader of the convolution's output."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(2, 2, 3), FrozenBatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x)
        return self.norm(x) + x


class CalledTwice(TwoReaders):
    """The convolution is also called elsewhere, without the norm."""

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(self.norm(self.convolution(x)))


@pytest.mark.parametrize("network", [TwoReaders(), CalledTwice()], ids=["two readers", "called twice"])
def test_a_norm_stays_where_fusing_would_change_something_else(network: nn.Module) -> None:
    before = deepcopy(network)
    fuse_frozen_norms(network, late_bias=True)
    assert norms(network) == 1
    image = torch.randn(1, 2, 9, 9)
    assert torch.equal(network(image), before(image))


class Untraceable(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().forward(x) if x.sum() > 0 else -super().forward(x)


def test_a_network_that_cannot_be_traced_keeps_its_norms_and_says_so() -> None:
    network = Untraceable(nn.Conv2d(2, 2, 3, bias=False), FrozenBatchNorm2d(2))
    with pytest.warns(UserWarning, match="Frozen norms are not fused, so inference is slower"):
        fuse_frozen_norms(network, late_bias=False)
    assert norms(network) == 1


def test_without_frozen_norms_nothing_is_traced() -> None:
    """Tracing this network would warn."""
    network = Untraceable(nn.Conv2d(2, 2, 3, bias=False), nn.GroupNorm(1, 2))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fuse_frozen_norms(network, late_bias=False)
    assert warned == []
    assert [type(module) for module in network] == [nn.Conv2d, nn.GroupNorm]


@pytest.mark.parametrize(
    ("name", "options", "late"),
    [
        ("resnet50", {}, 49),  # the stem and three in each block; the four shortcuts add theirs before the sum
        ("resnet18", {}, 17),
        ("resnet18d", {}, 19),  # three in the deep stem and two in each block
        ("seresnet50", {}, 37),  # a block weights its last map before the sum, so only the shortcut's bias can wait
    ],
)
def test_a_late_bias_waits_only_for_a_relu_that_comes_next(name: str, options: dict[str, Any], late: int) -> None:
    network = frozen(name, **options)
    fuse_frozen_norms(network, late_bias=True)
    assert sum(isinstance(module, BiasReLU) for module in network.modules()) == late


@pytest.mark.parametrize("name", ["resnet18d", "resnet50"])
def test_the_kernel_adds_late_biases(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, Triton's interpreter runs the kernel."""
    kernel = bias_relu_kernel()
    calls: list[None] = []

    def counted(x: Tensor, bias: Tensor) -> Tensor:
        calls.append(None)
        return kernel(x, bias)

    monkeypatch.setattr("uncrowd.ops.bias_relu_triton.bias_relu_on_gpu", counted)
    plain = frozen(name).to(DEVICE)
    late = deepcopy(plain)
    fuse_frozen_norms(late, late_bias=True)
    late.to(memory_format=torch.channels_last)
    image = torch.randn(1, 3, 64, 64).to(DEVICE, memory_format=torch.channels_last)
    for ours, expected in zip(outputs(late, image), outputs(plain, image), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    assert len(calls) == sum(isinstance(module, BiasReLU) for module in late.modules()) > 0
