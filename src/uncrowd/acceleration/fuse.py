"""Fuses frozen batch norms into the convolutions before them: one pass over the feature map instead of three.

The traced graph of the network says which norm follows which convolution, so this works for any timm network that can
be traced, whatever its modules are called.
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
    """Adds the bias of a fused convolution and applies the ReLU that follows, in one pass over the feature map.

    On a GPU, torch adds the bias of a convolution in a pass of its own; here one kernel does both.
    """

    def __init__(self, bias: Float[Tensor, " c"]):
        super().__init__()
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Returns relu(x + bias)."""
        # torch.compile fuses the two itself, and the kernel reads only channels last.
        if torch.compiler.is_compiling() or not x.is_contiguous(memory_format=torch.channels_last):
            return F.relu(x + self.bias.to(x.dtype)[:, None, None], inplace=True)
        from uncrowd.ops.bias_relu_triton import bias_relu_on_gpu

        return bias_relu_on_gpu(x, self.bias)


def fuse_frozen_norms(network: nn.Module, *, late_bias: bool) -> None:
    """Fuses, in place, every frozen norm that is the only reader of a convolution's output; other norms stay.

    late_bias: let the ReLU that follows, directly or after one sum, add the convolution's new bias (`BiasReLU`).
    Outputs change only by rounding. A network that cannot be traced keeps its norms, with a warning.
    """
    if not any(_is_frozen_norm(module) for module in network.modules()):
        return
    try:
        graph = _Tracer().trace(network)
    except Exception as error:  # any error that the network's own code raises when it meets fx's symbols
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
    """Treats a frozen norm as one node of the graph, like torch's own modules."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _is_frozen_norm(m) or super().is_leaf_module(m, module_qualified_name)


def _fuse(convolution: nn.Conv2d, norm: FrozenBatchNorm2d | FrozenBatchNormAct2d) -> Float[Tensor, " c"]:
    """Scales the convolution's weight as the norm would scale its output, and returns the bias to add."""
    numbers: list[Any] = [norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias]
    weight, bias = fuse_conv_bn_weights(convolution.weight, convolution.bias, *numbers)
    convolution.weight = nn.Parameter(weight.detach(), requires_grad=False)
    return bias.detach()


def _rest(norm: FrozenBatchNorm2d | FrozenBatchNormAct2d) -> nn.Module:
    """Returns what is left of a norm after fusing it: timm's norms may have an activation built in."""
    if isinstance(norm, FrozenBatchNormAct2d):
        return nn.Sequential(cast(nn.Module, norm.drop), cast(nn.Module, norm.act))
    return nn.Identity()


def _relu_after(node: fx.Node, modules: dict[fx.Node, nn.Module]) -> str | None:
    """Returns the name of the ReLU that is the only reader of the node's output, or of its sum with something else."""
    user = _only_user(node, modules)
    if user is not None and user.op == "call_function" and user.target in ADDITIONS:
        user = _only_user(user, modules)
    return str(user.target) if user is not None and type(modules.get(user)) is nn.ReLU else None


def _only_user(node: fx.Node, modules: dict[fx.Node, nn.Module]) -> fx.Node | None:
    """Returns the only reader of the node's output, past modules that pass it on unchanged; None if there are more."""
    user = next(iter(node.users)) if len(node.users) == 1 else None
    return _only_user(user, modules) if user is not None and type(modules.get(user)) is nn.Identity else user
