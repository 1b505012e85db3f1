"""How fast a picture goes through each detector: `python -m benchmarks.inference` from the project's root.

All weights are random and all detectors see the same picture, in turn, round after round; what counts is the ratio of a
round's times. Peers are torchvision's detectors on the same backbone, resizing and suppression included, as they are
used. With random weights they have little to suppress.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import tyro
from benchmarks.record import append, machine
from benchmarks.turns import table, take_turns
from torch import Tensor, nn
from torchvision.models import detection

from uncrowd.errors import require_at_least
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.build import AnyDetectorConfig, build_detector
from uncrowd.models.detr import DETRConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.models.stage import StageConfig

REFERENCE = "Faster R-CNN R50-FPN (torchvision)"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Time the detectors of the paper and their peers on one picture."""

    # Height of the picture, in pixels.
    height: int = 800
    # Width of the picture.
    width: int = 1088
    # Rounds, after one that is not counted.
    rounds: int = 5
    # Of our detectors.
    proposals: tuple[int, ...] = (100, 300, 500)
    # Of our detectors, and layers of DETR's encoder and decoder.
    stages: int = 6
    # A timm network for our detectors; the peers stay on ResNet-50.
    backbone: str = "resnet50"
    # Also append the result as a line of JSON to this file.
    append: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None

    def __post_init__(self) -> None:
        """Raises InputError for numbers that cannot be."""
        require_at_least(32, **{"--height": self.height, "--width": self.width})
        require_at_least(1, **{"--rounds": self.rounds, "--stages": self.stages})


def main(argv: Sequence[str]) -> int:
    """Prints a table."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.inference")
    torch.manual_seed(0)
    picture = torch.randint(256, (3, arguments.height, arguments.width), dtype=torch.uint8)
    detectors = _ours(arguments) | _peers(arguments)
    with torch.inference_mode():
        rounds = take_turns({name: partial(detect, picture) for name, detect in detectors.items()}, arguments.rounds)
    print(f"{machine()}, torch {torch.__version__} with {torch.get_num_threads()} threads, fp32, eager")
    print(f"one picture of {arguments.height} x {arguments.width}, {arguments.rounds} rounds\n")
    print(table(rounds, REFERENCE))
    if arguments.append is not None:
        settings = {key: value for key, value in asdict(arguments).items() if key != "append"}
        append(arguments.append, "inference", settings | {"threads": torch.get_num_threads(), "seconds": rounds})
    return 0


def _ours(arguments: Arguments) -> dict[str, Callable[[Tensor], object]]:
    trunk, stages = BackboneConfig(name=arguments.backbone), arguments.stages
    plain = StageConfig(attention="content", interaction="entangled")
    configs: dict[str, AnyDetectorConfig] = {
        "Sparse R-CNN, 100 proposals": SparseRCNNConfig(backbone=trunk, stages=stages, stage=plain),
        "DETR": DETRConfig(backbone=trunk, encoder_layers=stages, decoder_layers=stages),
    }
    for proposals in arguments.proposals:
        configs[f"ours, {proposals} proposals"] = SparseRCNNConfig(backbone=trunk, stages=stages, proposals=proposals)
    return {name: _with_decoding(config) for name, config in configs.items()}


def _with_decoding(config: AnyDetectorConfig) -> Callable[[Tensor], object]:
    model = build_detector(config).eval()

    def detect(picture: Tensor) -> object:
        return model.decode(model(picture[None], torch.tensor([picture.shape[-2:]])))

    return detect


def _peers(arguments: Arguments) -> dict[str, Callable[[Tensor], object]]:
    sides = {
        "min_size": min(arguments.height, arguments.width),
        "max_size": max(arguments.height, arguments.width),
    }
    models: dict[str, nn.Module] = {
        REFERENCE: detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, **sides),
        "RetinaNet R50-FPN (torchvision)": detection.retinanet_resnet50_fpn(
            weights=None, weights_backbone=None, **sides
        ),
        "FCOS R50-FPN (torchvision)": detection.fcos_resnet50_fpn(weights=None, weights_backbone=None, **sides),
    }
    return {name: _of_torchvision(model.eval()) for name, model in models.items()}


def _of_torchvision(model: nn.Module) -> Callable[[Tensor], object]:
    def detect(picture: Tensor) -> object:
        return model([picture / 255])

    return detect


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
