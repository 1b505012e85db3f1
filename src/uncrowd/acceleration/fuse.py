"""Frozen batch norm fused into the convolution before it, for inference: one pass over the map instead of three.

Which norm follows which convolution is read from the network's traced graph, so any timm network is fused whose graph
can be traced, whatever its modules are called.
"""

import operator
import warnings
from collections import Counter
from typing import Any, TypeGuard, cast

import torch
from jaxtyping import Float
from timm.layers.norm_act import FrozenBatchNormAct2d
from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d

ADDITIONS = {operator.add, operator.iadd, torch.add}


class BiasReLU(nn.Module):
    """The bias of a fused convolution and the ReLU that follows, in one pass over the map.

    On a GPU torch adds the bias of a convolution in a pass of its own; here a kernel does both (17.8 ms of a training
    step on one NVIDIA H200 became 6.6).
    """

    def __init__(self, bias: Float[Tensor, " c"]):
        super().__init__()
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Returns relu(x + bias)."""
        # A compiler fuses the two by itself, and the kernel reads channels last only.
        if torch.compiler.is_compiling() or not x.is_contiguous(memory_format=torch.channels_last):
            return F.relu(x + self.bias.to(x.dtype)[:, None, None], inplace=True)
        from uncrowd.ops.bias_relu_triton import bias_relu_on_gpu

        return bias_relu_on_gpu(x, self.bias)


def fuse_frozen_norms(network: nn.Module, *, late_bias: bool) -> None:
    """Fuses, in place, every frozen norm that alone reads the output of a convolution; all else stays as it is.

    late_bias: leave the convolution's new bias to the ReLU that follows, directly or after one sum (`BiasReLU`).
    Outputs change by rounding alone. A network whose graph cannot be traced keeps its norms, with a warning.
    """
    if not any(_is_frozen_norm(module) for module in network.modules()):
        return
    try:
        graph = _Tracer().trace(network)
    except Exception as error:  # fx raises whatever the traced code does with its symbols
        warnings.warn(f"Frozen norms are not fused, so inference is slower: {error}", stacklevel=2)
        return
    modules = dict(network.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    called_once = {node: modules[str(node.target)] for node in graph.nodes if calls[node.target] == 1}
    with_late_bias: set[str] = set()
    for node, norm in called_once.items():
        source = node.args[0] if node.args else None
        convolution = called_once.get(source) if isinstance(source, fx.Node) and len(source.users) == 1 else None
        if not _is_frozen_norm(norm) or type(convolution) is not nn.Conv2d:
            continue
        bias = _fuse(convolution, norm)
        network.set_submodule(str(node.target), _rest(norm))
        relu = _relu_after(node, called_once) if late_bias and isinstance(norm, FrozenBatchNorm2d) else None
        if relu is None or relu in with_late_bias:
            convolution.bias = nn.Parameter(bias, requires_grad=False)
        else:
            convolution.bias = None
            network.set_submodule(relu, BiasReLU(bias))
            with_late_bias.add(relu)


def _is_frozen_norm(module: nn.Module) -> TypeGuard[FrozenBatchNorm2d | FrozenBatchNormAct2d]:
    return isinstance(module, FrozenBatchNorm2d | FrozenBatchNormAct2d)


class _Tracer(fx.Tracer):
    """Takes a frozen norm as one step of the graph, as it takes torch's own modules."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _is_frozen_norm(m) or super().is_leaf_module(m, module_qualified_name)


def _fuse(convolution: nn.Conv2d, norm: FrozenBatchNorm2d | FrozenBatchNormAct2d) -> Float[Tensor, " c"]:
    """Scales the convolution's weight as the norm would scale its output, and returns the bias to be added."""
    numbers: list[Any] = [norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias]
    weight, bias = fuse_conv_bn_weights(convolution.weight, convolution.bias, *numbers)
    convolution.weight = nn.Parameter(weight.detach(), requires_grad=False)
    return bias.detach()


def _rest(norm: FrozenBatchNorm2d | FrozenBatchNormAct2d) -> nn.Module:
    """Returns what is left of a norm that is fused: timm's may have an activation built in."""
    if isinstance(norm, FrozenBatchNormAct2d):
        return nn.Sequential(cast(nn.Module, norm.drop), cast(nn.Module, norm.act))
    return nn.Identity()


def _relu_after(node: fx.Node, modules: dict[fx.Node, nn.Module]) -> str | None:
    """Returns the name of the ReLU that alone reads the node's output, or its sum with something else."""
    user = _only_user(node, modules)
    if user is not None and user.op == "call_function" and user.target in ADDITIONS:
        user = _only_user(user, modules)
    return str(user.target) if user is not None and type(modules.get(user)) is nn.ReLU else None


def _only_user(node: fx.Node, modules: dict[fx.Node, nn.Module]) -> fx.Node | None:
    """Returns what alone reads the node's output, past modules that pass it on unchanged."""
    user = next(iter(node.users)) if len(node.users) == 1 else None
    return _only_user(user, modules) if user is not None and type(modules.get(user)) is nn.Identity else user
