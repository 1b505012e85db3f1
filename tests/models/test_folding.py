"""A frozen norm folded into its convolution changes neither what is computed nor what is learned, only how often."""

from copy import deepcopy
from importlib import import_module
from typing import Any

import pytest
import timm
import torch
from timm.layers.norm_act import freeze_batch_norm_2d
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from tests.ops.interpreted import DEVICE, bias_relu_kernel
from uncrowd.models import folding
from uncrowd.models.folding import BiasReLU, FoldedConv2d, FoldedNorm, fold_for_good, fold_frozen_norms


def frozen(name: str) -> nn.Module:
    """A network whose norms are as trained ones are: no two channels alike, none of it zero."""
    torch.manual_seed(0)
    network = timm.create_model(name, features_only=True)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.weight, 0.5), (module.bias, -0.2), (module.running_mean, -0.2)):
                assert tensor is not None
                nn.init.uniform_(tensor, low, low + 0.5)
            assert module.running_var is not None
            nn.init.uniform_(module.running_var, 0.5, 2)
    for child_name, child in network.named_children():
        setattr(network, child_name, freeze_batch_norm_2d(child))
    return network


# basic blocks, a deep stem, bottlenecks, groups; and no ResNet, of which nothing is folded
@pytest.mark.parametrize(
    ("name", "left"), [("resnet18", 0), ("resnet18d", 1), ("resnet50", 0), ("resnext50_32x4d", 0), ("convnext_atto", 0)]
)
def test_outputs_and_gradients_are_those_of_the_norms(name: str, left: int) -> None:
    plain = frozen(name).double()
    folded = deepcopy(plain)
    fold_frozen_norms(folded)
    assert folded.state_dict().keys() == plain.state_dict().keys()
    assert [n for n, _ in folded.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert sum(type(m) is FrozenBatchNorm2d for m in folded.modules()) == left  # after the deep stem
    image = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    expected, got = plain(image), folded(image)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    for outputs in (expected, got):
        torch.stack([output.square().mean() for output in outputs]).sum().backward()
    of_plain = dict(plain.named_parameters())
    for parameter_name, parameter in folded.named_parameters():
        torch.testing.assert_close(parameter.grad, of_plain[parameter_name].grad)


@pytest.mark.parametrize("name", ["resnet18d", "resnet50", "resnext50_32x4d"])
def test_folded_for_good_it_computes_the_same_to_the_bit(name: str) -> None:
    network = frozen(name)
    fold_frozen_norms(network)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = network(image)
        fold_for_good(network)
        for ours, before in zip(network(image), expected, strict=True):
            assert torch.equal(ours, before)
    folded = [module for module in network.modules() if isinstance(module, FoldedConv2d)]
    assert folded
    assert all(module.bias is not None for module in folded)


class Reversed(nn.Sequential):
    """Whose children are not run in the order in which they are held."""


@pytest.mark.parametrize("group", [nn.Sequential, Reversed])
@pytest.mark.parametrize(
    ("convolution", "plain"),
    [
        (nn.Conv2d(2, 2, 3, bias=False), True),
        (nn.Conv2d(2, 2, 3), False),
        (nn.Conv2d(2, 2, 3, padding_mode="reflect", bias=False), False),
    ],
    ids=["plain", "with bias", "reflecting"],
)
def test_only_a_plain_convolution_in_a_plain_row_is_folded(
    group: type[nn.Sequential], convolution: nn.Conv2d, plain: bool
) -> None:
    row = group(convolution, FrozenBatchNorm2d(2), nn.ReLU())
    fold_frozen_norms(row)
    assert isinstance(row[0], FoldedConv2d) == (group is nn.Sequential and plain)


def test_weights_can_be_loaded_afterwards() -> None:
    """As pretrained ones are: convolution and norm read what is there now, in a copy as well."""
    plain = frozen("resnet18")
    folded = frozen("resnet18")
    fold_frozen_norms(folded)
    trained = {name: 1.1 * tensor for name, tensor in plain.state_dict().items()}
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        folded(image)  # what it works out of its norms now is not what holds then
    for network in (plain, folded):
        network.load_state_dict(trained)
    for network in (folded, deepcopy(folded)):
        for ours, theirs in zip(network(image), plain(image), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert any(isinstance(module, FoldedNorm) for module in folded.modules())


def test_a_copy_of_a_copy_takes_its_own_norms() -> None:
    """Which count their changes from the same number as those of the first did when they were read."""
    network = deepcopy(frozen("resnet18"))
    fold_frozen_norms(network)
    first = deepcopy(network)
    image = torch.randn(1, 3, 64, 64)
    first(image)
    first.load_state_dict({name: 1.1 * tensor for name, tensor in network.state_dict().items()})
    for ours, expected in zip(deepcopy(first)(image), first(image), strict=True):
        assert torch.equal(ours, expected)


def test_after_having_looked_it_can_be_trained() -> None:
    """What is worked out of the norms once, in an evaluation, serves the next step."""
    network = frozen("resnet18")
    fold_frozen_norms(network)
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        network(image)
    torch.stack([output.square().mean() for output in network(image)]).sum().backward()
    assert all(p.grad is not None and p.grad.any() for name, p in network.named_parameters() if "conv" in name)


@pytest.mark.parametrize(
    ("name", "options", "late"),
    [
        ("resnet50", {}, 49),  # stem and three a block; the four of the shortcuts come before the sum
        ("resnet18", {}, 17),
        ("resnet18d", {}, 18),  # two of the deep stem's three, which is no block
        ("resnet18", {"drop_path_rate": 0.1}, 10),  # in all blocks but the first it stands between
        ("seresnet50", {}, 33),
    ],
)
def test_a_bias_waits_only_for_a_relu_that_is_next(name: str, options: dict[str, Any], late: int) -> None:
    network = timm.create_model(name, features_only=True, **options)
    for child_name, child in network.named_children():
        setattr(network, child_name, freeze_batch_norm_2d(child))
    fold_frozen_norms(network)
    assert sum(isinstance(m, FoldedConv2d) and m.bias_waits for m in network.modules()) == late
    assert sum(isinstance(m, BiasReLU) for m in network.modules()) == late


def count_calls(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    calls: list[None] = []
    kernels = import_module("uncrowd.ops.bias_relu_triton")
    kernel = kernels.bias_relu_on_gpu

    def counted(x: Tensor, bias: Tensor) -> Tensor:
        calls.append(None)
        return kernel(x, bias)

    monkeypatch.setattr(kernels, "bias_relu_on_gpu", counted)
    return calls


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
@pytest.mark.parametrize(("name", "for_good"), [("resnet18d", False), ("resnet50", True)])
def test_biases_that_wait_change_nothing(
    name: str, for_good: bool, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs and gradients, with the kernel that adds them on a GPU, which maps have to be laid out for."""
    expected_of = frozen(name).to(DEVICE)
    fold_frozen_norms(expected_of)
    late = deepcopy(expected_of)
    if for_good:
        fold_for_good(late)
    for network in (expected_of, late):
        network.to(memory_format=layout)
    image = torch.randn(1, 3, 64, 64).to(DEVICE, memory_format=layout)
    bias_relu_kernel()
    calls = count_calls(monkeypatch)
    monkeypatch.setattr(folding, "own_kernels_run", lambda _: False)
    expected = expected_of(image)
    monkeypatch.setattr(folding, "own_kernels_run", lambda _: True)
    found = late(image)
    waiting = sum(isinstance(module, BiasReLU) for module in late.modules())
    assert len(calls) == (waiting if layout == torch.channels_last else 0)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    if not for_good:
        for outputs in (found, expected):
            torch.stack([output.square().mean() for output in outputs]).sum().backward()
        of_expected = dict(expected_of.named_parameters())
        for parameter_name, parameter in late.named_parameters():
            gradient = of_expected[parameter_name].grad
            assert parameter.grad is not None
            assert gradient is not None
            assert (parameter.grad - gradient).abs().max() <= 1e-2 * gradient.abs().max()
