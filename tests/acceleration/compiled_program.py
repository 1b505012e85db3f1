"""Compares a compiled model with the plain one, for test_compile.py, and prints JSON.

It runs in a process of its own, because the import hooks that check shapes in tests break graphs.
"""

import json
import sys
from copy import deepcopy
from dataclasses import replace
from functools import partialmethod

import torch
from torch import Tensor, nn

from tests.models.trained_norms import SPARSE_RCNN, as_if_trained
from uncrowd.acceleration.compile import compile_layers, compile_whole
from uncrowd.acceleration.for_inference import for_inference
from uncrowd.models.build import AnyDetectorConfig, build_detector
from uncrowd.models.detector import Detector

# images, height, width
SIZES = {"layers": [(2, 64, 96), (2, 96, 70)], "whole": [(2, 64, 96), (1, 96, 70)]}
ON_GPU = torch.cuda.is_available()
# On a CPU this checks graphs, their symbols and their gradients, but spares the minutes of generating C++.
BACKEND = "inductor" if ON_GPU else "aot_eager"
CALLS = 3 if ON_GPU else 1  # a CUDA graph is captured on the second and replayed on the third


def predict(model: Detector, size: tuple[int, int, int]) -> list[Tensor]:
    count, height, width = size
    generator = torch.Generator().manual_seed(height)
    images = torch.randint(256, (count, 3, height, width), generator=generator, dtype=torch.uint8)
    given = images.to(model.mean.device), torch.tensor([[height, width]] * count, device=model.mean.device)
    return [tensor for output in model(*given) for tensor in output]


def gradients(model: Detector, outputs: list[Tensor]) -> list[Tensor]:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    loss = torch.stack([output.square().mean() for output in outputs]).sum()
    return [g for g in torch.autograd.grad(loss, parameters, allow_unused=True) if g is not None]


def furthest(found: list[Tensor], expected: list[Tensor]) -> float:
    return max(float((a - b).abs().max() / (b.abs().max() + 1e-6)) for a, b in zip(found, expected, strict=True))


def compile_detector(what: str, config: AnyDetectorConfig) -> None:
    nn.Module.compile = partialmethod(nn.Module.compile, backend=BACKEND)  # pyright: ignore[reportAttributeAccessIssue]
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    plain = build_detector(config).to("cuda" if ON_GPU else "cpu").train(what == "layers")
    as_if_trained(plain)
    compiled = deepcopy(plain)
    if what == "layers":
        compile_layers(compiled, plain.mean.device)
    else:
        compiled = for_inference(plain)
        compile_whole(compiled)
    apart, apart_backward, graphs, found = [], [], [], []
    for size in SIZES[what]:
        expected = predict(plain, size)
        with torch.inference_mode(what == "whole"):  # compiled layers are for training
            for _ in range(CALLS):
                found = predict(compiled, size)
        apart.append(furthest(found, expected))
        if what == "layers":
            apart_backward.append(furthest(gradients(compiled, found), gradients(plain, expected)))
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    breaks = sum(torch._dynamo.utils.counters["graph_break"].values())
    result = {"apart": max(apart), "apart_backward": max(apart_backward, default=0), "graphs": graphs, "breaks": breaks}
    print(json.dumps(result))


if __name__ == "__main__":
    what, *dense = sys.argv[1:]
    compile_detector(what, replace(SPARSE_RCNN, queries="dense") if dense else SPARSE_RCNN)
