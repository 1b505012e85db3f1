"""Frozen batch norm as part of the convolution before it: the same numbers, with one pass over the image less.

Weights are scaled in each forward pass, which is little beside a convolution; so what is learned, decayed and saved is
the convolution's own weight, as it is without, and every parameter and buffer keeps its name. Only a model that will
never be trained again is folded for good.

On a CPU convolutions add their bias on the way. On a GPU that takes a pass over the map, so it waits for the ReLU that
comes next, if nothing but a sum stands between, and is added in the same pass: `bias_relu_triton.py`.
"""

from typing import Any, NamedTuple, TypeGuard

import torch
from jaxtyping import Float
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchvision.ops import FrozenBatchNorm2d

from uncrowd.ops.triton_available import own_kernels_run


class FoldedNorm(FrozenBatchNorm2d):
    """The numbers of a frozen norm whose work the convolution before it does."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: FrozenBatchNorm2d):
        super().__init__(0, norm.eps)
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)
        self._known: _Known | None = None

    def scale_and_bias(self) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
        """Returns what each channel is multiplied by, and then what is added to it.

        Five small operations, which on a GPU cost the host as much as convolutions do: not done again as long as no
        buffer changes.
        """
        numbers = [self.weight, self.bias, self.running_mean, self.running_var]
        if torch.compiler.is_compiling() or any(tensor.is_inference() for tensor in numbers):
            return self._scale_and_bias()
        if self._known is None or not self._known.is_of(numbers):
            with torch.inference_mode(mode=False), torch.no_grad():  # training goes on with them
                versions = [tensor._version for tensor in numbers]
                self._known = _Known(numbers, versions, *self._scale_and_bias())
        return self._known.scale, self._known.bias

    def __getstate__(self) -> dict[str, Any]:
        """Nothing is known of a copy, whose buffers count their changes anew."""
        return self.__dict__ | {"_known": None}

    def _scale_and_bias(self) -> tuple[Tensor, Tensor]:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Returns what it is given."""
        return x


class _Known(NamedTuple):
    numbers: list[Tensor]
    versions: list[int]  # which each change in place raises
    scale: Tensor
    bias: Tensor

    def is_of(self, numbers: list[Tensor]) -> bool:
        before = zip(self.numbers, self.versions, strict=True)
        return all(new is old and new._version == version for new, (old, version) in zip(numbers, before, strict=True))


class FoldedConv2d(nn.Module):
    """A convolution, without bias and padded with zeros, that also does what the frozen norm after it is for.

    bias_waits: on a GPU the bias is left to the `BiasReLU` that follows.
    """

    def __init__(self, convolution: nn.Conv2d, norm: FoldedNorm, *, bias_waits: bool):
        super().__init__()
        self.weight = convolution.weight
        self.register_parameter("bias", None)  # until it is folded for good
        self.settings: dict[str, Any] = {
            name: getattr(convolution, name) for name in ("stride", "padding", "dilation", "groups")
        }
        self.bias_waits = bias_waits
        self._norm: tuple[FoldedNorm] | None = (norm,)  # not as a module: it is its block's own, under its name there

    def forward(self, x: Float[Tensor, "b _ _ _"]) -> Float[Tensor, "b _ _ _"]:
        """Returns the normalised convolution, but for a bias that waits."""
        weight, bias = self._weight_and_bias()
        late = self.bias_waits and own_kernels_run(x)
        return F.conv2d(x, weight, None if late else bias, **self.settings)

    def _weight_and_bias(self) -> tuple[Float[Tensor, "d _ _ _"], Float[Tensor, " d"]]:
        """Returns those of the plain convolution that computes the same."""
        if self._norm is None:
            return self.weight, self.bias
        scale, bias = self._norm[0].scale_and_bias()
        return self.weight * scale[:, None, None, None], bias

    @property
    def late_bias(self) -> Float[Tensor, " d"]:
        """What the `BiasReLU` that follows is to add."""
        return self.bias if self._norm is None else self._norm[0].scale_and_bias()[1]

    @torch.no_grad()
    def fold_for_good(self) -> None:
        """Scales the weight once and forgets the norm: it computes the same, but is no longer what one trains."""
        weight, bias = self._weight_and_bias()
        self.weight, self.bias = (nn.Parameter(tensor.clone(), requires_grad=False) for tensor in (weight, bias))
        self._norm = None


class BiasReLU(nn.Module):
    """The ReLU after a folded convolution, and on a GPU that convolution's bias."""

    def __init__(self, convolution: FoldedConv2d):
        super().__init__()
        self._convolution = (convolution,)  # not as a module: it has its own place

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Returns relu(x), or relu(x + bias) where the bias is late."""
        if not own_kernels_run(x):
            return F.relu(x, inplace=True)
        bias = self._convolution[0].late_bias
        # a compiler fuses the two by itself
        if torch.compiler.is_compiling() or not x.is_contiguous(memory_format=torch.channels_last):
            return F.relu(x + bias.to(x.dtype)[:, None, None], inplace=True)
        from uncrowd.ops.bias_relu_triton import bias_relu_on_gpu

        return bias_relu_on_gpu(x, bias)


def fold_frozen_norms(module: nn.Module) -> None:
    """Folds every frozen norm of a ResNet that directly follows a plain convolution; all else stays as it is."""
    for names in _chains(module):
        convolution, norm = (getattr(module, name, None) for name in names[:2])
        if _is_plain(convolution) and type(norm) is FrozenBatchNorm2d:
            activation = getattr(module, names.activation) if names.activation else None
            folded_norm = FoldedNorm(norm)
            folded = FoldedConv2d(convolution, folded_norm, bias_waits=type(activation) is nn.ReLU)
            setattr(module, names.norm, folded_norm)
            setattr(module, names.convolution, folded)
            if folded.bias_waits and names.activation:
                setattr(module, names.activation, BiasReLU(folded))
    for child in module.children():
        fold_frozen_norms(child)


def fold_for_good(module: nn.Module) -> None:
    """Scales the weights of all folded convolutions once, for a model that only looks.

    It computes the same, to the bit.
    """
    for child in module.modules():
        if isinstance(child, FoldedConv2d):
            child.fold_for_good()


def _is_plain(module: nn.Module | None) -> TypeGuard[nn.Conv2d]:
    return type(module) is nn.Conv2d and module.bias is None and module.padding_mode == "zeros"


class _Chain(NamedTuple):
    """Names of children: the norm is applied to what the convolution puts out, and to nothing else.

    activation: likewise to what the norm puts out, or to its sum with something else; None if there is none.
    """

    convolution: str
    norm: str
    activation: str | None = None


def _chains(module: nn.Module) -> list[_Chain]:
    if isinstance(module, BasicBlock | Bottleneck):
        last = 2 if isinstance(module, BasicBlock) else 3
        drops_nothing = isinstance(module.drop_block, nn.Identity)
        sum_comes_next = module.se is None and module.drop_path is None
        waits = [*[drops_nothing] * (last - 1), sum_comes_next]
        return [_Chain(f"conv{n}", f"bn{n}", f"act{n}" if wait else None) for n, wait in enumerate(waits, start=1)]
    if type(module) is nn.Sequential:  # of a block's shortcut, or a deep stem
        names = [name for name, _ in module.named_children()]
        return [_Chain(*three) for three in zip(names, names[1:], [*names[2:], None], strict=False)]
    return [_Chain("conv1", "bn1", "act1")] if hasattr(module, "layer1") else []  # a ResNet's stem
