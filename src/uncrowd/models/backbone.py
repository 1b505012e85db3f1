"""Images to feature maps: any timm network with strides 4, 8, 16, 32, its norms, and its pretrained weights."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import safetensors
import safetensors.torch
import timm
import torch
from jaxtyping import Float
from timm.layers.drop import DropPath
from timm.layers.norm_act import BatchNormAct2d, FrozenBatchNormAct2d, GroupNormAct, freeze_batch_norm_2d
from timm.layers.patch_embed import PatchEmbed
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from uncrowd.errors import InputError

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
MAX_GROUPS = 32
# Side in pixels of the image on which a network is tried. Its coarsest map has to have 3 cells a side: an odd number,
# which reveals networks that round.
PROBED = 96
CLASSIFIERS = ("classifier.", "fc.", "head.")  # modules of a pretrained network after its features


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """A timm network by name, and the weights and norms it starts with."""

    # Name of a timm network with feature maps of strides 4, 8, 16, 32. For Sparse R-CNN, each map must have half the
    # sides of the one before.
    name: str = "resnet50"
    # Pretrained weights: None (random), a local file (.safetensors or .pth), or "timm" for timm's weights of `name`.
    pretrained: str | None = None
    # Replacement of the network's batch norms: frozen statistics for pretrained weights, GroupNorm for training from
    # scratch. With either, results do not depend on how a batch is split. Layer norms stay.
    norm: Literal["frozen_batch", "group"] = "frozen_batch"
    # Frozen parts, counted from the stem: 2 freezes the stem and the first stage (res2), 0 nothing.
    frozen_stages: int = 2
    # Rate of stochastic depth, for networks that have it.
    drop_path: float = 0.0
    # Mean of RGB in 0-255 that the weights expect.
    mean: tuple[float, float, float] = IMAGENET_MEAN
    # Standard deviation of RGB in 0-255 that the weights expect.
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        """Raises InputError for stages that do not exist, an impossible rate, and a std that is not positive."""
        if not 0 <= self.drop_path < 1:
            raise InputError(f"drop_path is {self.drop_path}; give a rate from 0 to below 1.")
        if not 0 <= self.frozen_stages <= 5:
            raise InputError(
                f"frozen_stages is {self.frozen_stages}; give 0 (nothing), 1 (the stem) to 5 (everything)."
            )
        if not all(value > 0 for value in self.std):
            raise InputError(f"std is {self.std}; give three positive numbers.")


class Backbone(nn.Module):
    """The last four feature maps of a timm network, strides 4 to 32, channels first."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.config = config
        self.body = _create(config)
        info: Any = self.body.feature_info
        if info.reduction() != [4, 8, 16, 32]:
            raise InputError(
                f"Backbone {config.name!r} has maps of strides {info.reduction()}; choose one with 4, 8, 16, 32."
            )
        self.channels: list[int] = info.channels()
        # A network that cuts images into patches needs sides that are multiples of the patch side.
        self.patch_side = next((int(m.patch_size[0]) for m in self.body.modules() if isinstance(m, PatchEmbed)), 1)
        # Swin returns maps in channels last, without a norm at the end of a stage; detectors add a norm to each map.
        of_swin = str(getattr(self.body, "output_fmt", "NCHW")).endswith("NHWC")
        self.norms = nn.ModuleList(nn.LayerNorm(c) for c in self.channels) if of_swin else None
        _replace_batch_norm(self.body, config.norm)
        _freeze(self.body, config.frozen_stages, info.module_name())

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Returns C2 to C5 of normalised images."""
        features = self.body(images)
        if self.norms is not None:
            features = [norm(f).permute(0, 3, 1, 2) for norm, f in zip(self.norms, features, strict=True)]
        return features

    def load_pretrained(self) -> str:
        """Loads the weights that the configuration names and returns, in words, what the backbone starts from.

        Raises InputError if the file is missing, is not a weights file or holds another network, and if frozen norms or
        stages would keep random values.
        """
        name, source = self.config.name, self.config.pretrained
        if source is None:
            if self.config.norm == "frozen_batch" and self._has_frozen_norm():
                raise InputError(
                    f"Backbone {name!r} with frozen batch norm needs pretrained weights: name a file as `pretrained`, "
                    "or train from random initialisation with `norm` 'group' and `frozen_stages` 0."
                )
            if self.config.frozen_stages:
                raise InputError(
                    f"Backbone {name!r} would freeze {self.config.frozen_stages} stages at random values: name a file "
                    "as `pretrained`, or set `frozen_stages` to 0."
                )
            return f"{name} from RANDOM initialisation: no pretrained weights were named"
        state = _timm_state(self.config) if source == "timm" else _file_state(Path(source))
        if self.config.norm == "group" and any(key.endswith("running_mean") for key in state):
            raise InputError(
                f"The pretrained weights of {name!r} ({source}) were trained with batch norm, which GroupNorm cannot "
                "replace; choose `norm` 'frozen_batch'."
            )
        how = _load_matching(self.body, state, source)
        return f"{name} pretrained, {how}"

    @torch.no_grad()
    def require_exact_strides(self) -> None:
        """Raises InputError unless each map has half the sides of the one before, as a pyramid needs to add them."""
        name, sides = self.config.name, [PROBED // stride for stride in (4, 8, 16, 32)]
        training, parameter = self.training, next(self.parameters())
        try:
            maps = self.eval()(torch.zeros(1, 3, PROBED, PROBED, device=parameter.device, dtype=parameter.dtype))
        except (AssertionError, RuntimeError) as error:  # timm asserts, torch raises
            raise InputError(
                f"Backbone {name!r} does not accept images of {PROBED} x {PROBED} ({error}); choose one that accepts "
                "all sides that are multiples of 32."
            ) from error
        finally:
            self.train(training)
        found = [tuple(map_.shape[-2:]) for map_ in maps]
        if found != [(side, side) for side in sides]:
            raise InputError(
                f"Backbone {name!r} turns {PROBED} x {PROBED} pixels into maps of "
                f"{', '.join(f'{height} x {width}' for height, width in found)}, which a pyramid cannot add up; "
                f"choose one whose maps have sides of {', '.join(map(str, sides))}."
            )

    def _has_frozen_norm(self) -> bool:
        return any(isinstance(m, FrozenBatchNorm2d | FrozenBatchNormAct2d) for m in self.body.modules())


def _create(config: BackboneConfig) -> nn.Module:
    options = {"features_only": True, "out_indices": (-4, -3, -2, -1), "pretrained": False}
    if config.drop_path:
        options["drop_path_rate"] = config.drop_path
    if config.name.startswith("swin"):
        options["strict_img_size"] = False
    unknown = InputError(f"timm has no backbone {config.name!r}; `timm.list_models()` lists them.")
    if set(config.name) & {"/", ":"}:  # timm would fetch such a name from a hub or a folder
        raise unknown
    try:
        body = timm.create_model(config.name, **options)
    except RuntimeError as error:
        raise unknown from error
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
        raise InputError(f"Backbone {config.name!r} has no stochastic depth; leave drop_path at 0.") from error
    for module in body.modules():
        if isinstance(module, DropPath) and not config.drop_path:  # timm's Swin has a rate above 0 by default
            module.drop_prob = 0.0
    return body


def _replace_batch_norm(module: nn.Module, norm: Literal["frozen_batch", "group"]) -> None:
    if norm == "frozen_batch":
        for name, child in module.named_children():
            setattr(module, name, freeze_batch_norm_2d(child))
        return
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _group_norm_like(child))
        else:
            _replace_batch_norm(child, norm)


def _group_norm_like(norm: nn.BatchNorm2d) -> nn.Module:
    channels = norm.num_features
    groups = math.gcd(channels, MAX_GROUPS)
    if isinstance(norm, BatchNormAct2d):  # some of timm's norms include an activation
        group_norm = GroupNormAct(channels, num_groups=groups, eps=norm.eps)
        group_norm.add_module("act", cast(nn.Module, norm.act))
        group_norm.add_module("drop", cast(nn.Module, norm.drop))
    else:
        group_norm = nn.GroupNorm(groups, channels, eps=norm.eps)
    group_norm.weight, group_norm.bias = norm.weight, norm.bias  # keeps timm's zero-initialised last norms
    return group_norm


def _freeze(body: nn.Module, stages: int, stage_modules: list[str]) -> None:
    """Freezes all parameters up to the end of the given stage, in the order in which they are registered.

    Stage 1 is everything before the module that yields the stride 4 map. A module between two that yield maps belongs
    to the stage of the later one.
    """
    prefixes = [f"{name.replace('.', '_')}_" for name in stage_modules]
    reached = 0
    for name, parameter in body.named_parameters():
        stage = next((i + 2 for i, prefix in enumerate(prefixes) if name.replace(".", "_").startswith(prefix)), None)
        reached = stage or reached
        if (stage or reached + 1) > stages:
            break
        parameter.requires_grad_(False)


def _timm_state(config: BackboneConfig) -> dict[str, Tensor]:
    expected = timm.get_pretrained_cfg(config.name)
    if expected is not None:
        mean, std = ([round(255 * value, 3) for value in values] for values in (expected.mean, expected.std))
        if not np.allclose([config.mean, config.std], [mean, std], atol=0.5):
            raise InputError(
                f"The weights of {config.name!r} expect pixels of mean {mean} and std {std}; set `mean` and `std` so."
            )
    try:
        return dict(timm.create_model(config.name, pretrained=True).state_dict())
    except Exception as error:  # timm passes on whatever its hub client raises
        raise InputError(
            f"timm could not provide pretrained weights for {config.name!r} ({error}); "
            "name a local file as `pretrained` (--model.backbone.pretrained FILE)."
        ) from error


def _file_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"The backbone weights {path} do not exist; give the path of a .safetensors or .pth file.")
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
            return dict(sorted(state.items(), key=lambda item: _numbered(item[0])))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and safetensors raise errors of their own
        raise InputError(f"{path} cannot be read safely as a weights file ({type(error).__name__}).") from error
    state = state.get("state_dict", state.get("model", state)) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds no dictionary of tensors, so it is not a weights file.")
    return state


def _load_matching(body: nn.Module, state: dict[str, Tensor], source: str) -> str:
    """Loads tensors by name or, from a file with another library's names for the same network, by order."""
    wanted = {k: v for k, v in body.state_dict().items() if not k.endswith("num_batches_tracked")}
    given = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    if {k.replace(".", "_") for k in wanted} <= (flat := {k.replace(".", "_"): k for k in given}).keys():
        # timm joins nested module names with underscores when it extracts features from a network
        pairs = [(k, flat[k.replace(".", "_")]) for k in wanted]
        how = "loaded by name"
    else:
        pairs = _pairs_by_order(wanted, given, source)
        how = "loaded by order (its modules have other names)"
    for name, other in pairs:
        if wanted[name].shape != given[other].shape:
            raise InputError(
                f"{source} holds another network: {other} has shape {tuple(given[other].shape)}, "
                f"the backbone's {name} needs {tuple(wanted[name].shape)}."
            )
    body.load_state_dict({name: given[other] for name, other in pairs}, strict=False)
    return f"{how} from {source}"


def _pairs_by_order(wanted: dict[str, Tensor], given: dict[str, Tensor], source: str) -> list[tuple[str, str]]:
    """Pairs the modules of two state dictionaries in order; modules given after the last wanted one are left out."""
    modules = dict.fromkeys(name.rpartition(".")[0] for name in wanted)
    others = dict.fromkeys(name.rpartition(".")[0] for name in given if not name.startswith(CLASSIFIERS))
    if len(others) < len(modules):
        raise InputError(
            f"{source} holds {len(others)} modules, the backbone has {len(modules)}: it is another network."
        )
    renamed = dict(zip(modules, others, strict=False))
    pairs = [(name, f"{renamed[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}") for name in wanted]
    for name, other in pairs:
        if other not in given:
            raise InputError(f"{source} holds another network: it has no {other} for the backbone's {name}.")
    return pairs


def _numbered(name: str) -> list[tuple[int, str]]:
    """Returns a key that sorts layer 10 after layer 9: safetensors files lose the network's order, names restore it."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]
