"""Compares the speed of detectors: `python -m benchmarks.inference` from the project's root.

All weights are random. All detectors run on the same images and take turns, round after round; the ratios of the times
within a round are what counts. Our proposals have many places and sizes, like the boxes of a trained model. With random
weights, torchvision's detectors have little to suppress.
"""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import torch
import tyro
from benchmarks.command import run
from benchmarks.made_up_model import build_model
from benchmarks.peers import FASTER_RCNN, Detect, torchvision_detectors, transformers_detectors
from benchmarks.record import append, conditions, require_appendable
from benchmarks.turns import Rounds, table, take_turns
from torch import Tensor

from tests.plain.sparse_rcnn import PlainSparseRCNN
from uncrowd.acceleration.compile import compile_layers, compile_whole
from uncrowd.acceleration.for_inference import for_inference
from uncrowd.boxes import cxcywh_to_xyxy
from uncrowd.data.transforms import ResizeConfig
from uncrowd.errors import InputError, require_at_least
from uncrowd.freed_memory import keep_freed_memory
from uncrowd.inference.cuda_graphs import CudaGraphs
from uncrowd.inference.export import write_onnx
from uncrowd.inference.onnx_detector import OnnxDetector
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.build import build_detector
from uncrowd.models.detector import Detector
from uncrowd.models.detr import DETRConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.structures import Categories, Decoded

Model = TypeVar("Model", bound=Detector)
Way = Literal["eager", "graphs", "compiled", "onnx", "plain"]
IN_WORDS = {
    "eager": "",
    "graphs": ", CUDA graph",
    "compiled": ", compiled",
    "onnx": ", ONNX Runtime",
    "plain": ", plain twin",
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare the speed of the paper's detectors and of others on the same images."""

    # Height of the images, in pixels.
    height: int = 800
    # Width of the images.
    width: int = 1088
    # Images in a batch.
    batch: int = 1
    # Rounds, after one that is not counted; after three if --ways has graphs or compiled.
    rounds: int = 5
    # Numbers of proposals of our detectors.
    proposals: tuple[int, ...] = (100, 300, 500)
    # How our detectors run: eager torch, CUDA graphs (as `uncrowd.load` uses on a GPU), torch.compile, ONNX Runtime, or
    # as the plain twin of the tests.
    ways: tuple[Way, ...] = ("eager",)
    # Stages of our detectors, and layers of DETR's encoder and decoder.
    stages: int = 6
    # Backbone of our detectors: a timm network. The other detectors keep ResNet-50.
    backbone: str = "resnet50"
    # Run all detectors in bf16 under autocast, but ONNX Runtime in fp32.
    bf16: bool = False
    # Leave out the detectors of transformers.
    torchvision_only: bool = False
    # Also time the stages alone, ours and those of the plain twin.
    heads: bool = False
    # Keep freed memory, as the `uncrowd` command does on a CPU, for all detectors.
    keep_freed_memory: bool = False
    # Also append the result as a line of JSON to this file.
    append: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None

    def __post_init__(self) -> None:
        """Raises InputError when there is nothing to time, or the file to append to cannot be written."""
        require_at_least(32, **{"--height": self.height, "--width": self.width})
        require_at_least(1, **{"--rounds": self.rounds, "--stages": self.stages, "--batch": self.batch})
        if not self.proposals or not self.ways:
            raise InputError("--proposals or --ways is empty; give at least one value of each.")
        require_appendable(self.append)  # last, because it creates the file


def main(argv: Sequence[str]) -> int:
    """Prints a table."""
    config = (tyro.conf.FlagCreatePairsOff,)
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.inference", config=config)
    kept = arguments.keep_freed_memory and keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if "graphs" in arguments.ways and device.type == "cpu":
        raise InputError("--ways graphs is for GPUs, and there is none here; leave it out.")
    torch.manual_seed(0)
    images = torch.randint(256, (arguments.batch, 3, arguments.height, arguments.width), dtype=torch.uint8)
    precision = torch.autocast(device.type, torch.bfloat16) if arguments.bf16 else nullcontext()
    with tempfile.TemporaryDirectory() as folder:
        detectors = torchvision_detectors(arguments.height, arguments.width, device)
        detectors |= {} if arguments.torchvision_only else transformers_detectors(device)
        detectors |= _baselines(arguments, device)
        for proposals in arguments.proposals:
            model = build_model(_config(arguments, proposals)).eval().to(device)
            for way in arguments.ways:
                detectors[f"ours, {proposals} proposals{IN_WORDS[way]}"] = _ours(arguments, model, way, Path(folder))
        with torch.inference_mode(), precision:
            turns = {name: partial(detect, images) for name, detect in detectors.items()}
            # a CUDA graph is captured on the second call and replayed from the third
            graphs = {"graphs", "compiled"} & set(arguments.ways)
            seconds = take_turns(turns, arguments.rounds, warm_up=3 if graphs else 1)
            on_device = images.to(device)
            heads = {n: _heads(arguments, n, on_device) for n in arguments.proposals} if arguments.heads else {}
    print(conditions(kept=kept))
    size, dtype = f"{arguments.height} x {arguments.width}", "bf16" if arguments.bf16 else "fp32"
    print(f"batches of {arguments.batch} of {size}, {dtype}, {arguments.rounds} rounds\n")
    print(table(seconds, FASTER_RCNN))
    for proposals, of_head in heads.items():
        print(f"\nstages alone, {proposals} proposals\n{table(of_head, 'plain twin')}")
    if arguments.append is not None:
        results = {"seconds": seconds, "heads": heads, "keep_freed_memory": kept}
        append(arguments.append, "inference", arguments, results)
    return 0


def _config(arguments: Arguments, proposals: int) -> SparseRCNNConfig:
    frozen = 0 if arguments.backbone.startswith("swin") else 2
    backbone = BackboneConfig(name=arguments.backbone, frozen_stages=frozen)
    return SparseRCNNConfig(backbone=backbone, stages=arguments.stages, proposals=proposals)


def _baselines(arguments: Arguments, device: torch.device) -> dict[str, Detect]:
    """Returns Sparse R-CNN and DETR, the paper's baselines, in our code."""
    ours = _config(arguments, arguments.proposals[0])
    plain = StageConfig(attention="content", interaction="entangled")
    sparse_rcnn = SparseRCNNConfig(backbone=ours.backbone, stages=ours.stages, proposals=ours.proposals, stage=plain)
    # with ResNet-50, like the other detectors
    detr = DETRConfig(encoder_layers=ours.stages, decoder_layers=ours.stages)
    models = {
        f"Sparse R-CNN, {ours.proposals} proposals": build_model(sparse_rcnn),
        "DETR, ours": build_detector(detr),
    }
    converted = {name: for_inference(model.to(device), bf16=arguments.bf16) for name, model in models.items()}
    return {name: partial(_detect, model.detect, device) for name, model in converted.items()}


def _ours(arguments: Arguments, model: SparseRCNN, way: Way, folder: Path) -> Detect:
    device = next(model.parameters()).device
    match way:
        case "eager":
            return partial(_detect, for_inference(model, bf16=arguments.bf16).detect, device)
        case "graphs":
            return partial(_detect, CudaGraphs(for_inference(model, bf16=arguments.bf16).detect), device)
        case "compiled":
            compiled = for_inference(model, bf16=arguments.bf16)
            compile_whole(compiled)
            return partial(_detect, compiled.detect, device)
        case "onnx":
            path = folder / f"{model.config.proposals}.onnx"
            classes = range(model.config.num_classes)
            categories = Categories(ids=tuple(classes), names=tuple(f"class {i}" for i in classes))
            write_onnx(path, deepcopy(model).cpu(), categories, ResizeConfig())
            return partial(_detect, OnnxDetector.load(path, device).detect, device)
        case "plain":
            return partial(_detect_plainly, _plain_twin(model), device)


def _detect(detect: Callable[[Tensor, Tensor], Decoded], device: torch.device, images: Tensor) -> Decoded:
    sizes = torch.tensor([images.shape[-2:]] * len(images))
    return detect(images.to(device, non_blocking=True), sizes.to(device, non_blocking=True))


def _plain_twin(model: SparseRCNN) -> PlainSparseRCNN:
    """Returns the twin in torch's default memory layout, which its convolutions then use."""
    return PlainSparseRCNN(deepcopy(model).to(memory_format=torch.contiguous_format)).eval()


def _detect_plainly(twin: PlainSparseRCNN, device: torch.device, images: Tensor) -> Decoded:
    sizes = torch.tensor([images.shape[-2:]] * len(images))  # on the host, where the twin reads them
    return twin.decode(twin(images.to(device, non_blocking=True), sizes))


def _heads(arguments: Arguments, proposals: int, images: Tensor) -> Rounds:
    """Returns the seconds of our stages and the twin's, each with features in the memory layout of its own pyramid."""
    plain = build_model(_config(arguments, proposals)).eval().to(images.device)
    model, twin = for_inference(plain, bf16=arguments.bf16), _plain_twin(plain)
    height, width = images.shape[-2:]
    sizes = torch.tensor([[height, width]] * len(images), device=images.device)
    ours = model.pyramid(model.backbone(model.normalise(images, sizes)))
    theirs = [feature.contiguous() for feature in ours]
    scale = torch.tensor([width, height, width, height], device=images.device)
    boxes = (cxcywh_to_xyxy(model.proposal_boxes_cxcywh_norm) * scale).expand(len(images), -1, -1)
    queries = model.proposal_queries.expand(len(images), -1, -1)
    heads = {
        "ours": partial(model.head, ours, boxes, queries),
        "plain twin": partial(twin.head, theirs, boxes, queries),
    }
    if "compiled" in arguments.ways:
        compiled = deepcopy(model)
        compile_layers(compiled, images.device)
        heads["ours, compiled"] = partial(compiled.head, ours, boxes, queries)
    return take_turns(heads, arguments.rounds)


if __name__ == "__main__":
    run(main)
