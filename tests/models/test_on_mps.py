"""What a detector computes, a Mac's GPU can compute. None is needed: torch lists the operators that it has for one."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchgen
import yaml
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.tiny import TINY_MODEL, tiny_experiment
from uncrowd.acceleration.for_inference import for_inference
from uncrowd.models.build import build_detector
from uncrowd.structures import Target

# torch takes this one on a CPU alone; elsewhere it composes attention of others, or has its own for mps.
FOR_CPU = "aten::_scaled_dot_product_flash_attention_for_cpu"
LISTED = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml"


class Recorder(TorchDispatchMode):
    """The names of all operators that run, and those whose results are in fp64."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.in_fp64: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.names.add(func.name())
        if any(isinstance(leaf, Tensor) and leaf.dtype == torch.float64 for leaf in tree_leaves(result)):
            self.in_fp64.add(func.name())
        return result


@pytest.fixture(scope="module")
def on_mps() -> set[str]:
    """The operators that torch has a kernel for, or composes of others."""
    functions = yaml.load(LISTED.read_text(), yaml.CSafeLoader)
    named = {f"aten::{function['func'].partition('(')[0]}": function for function in functions}
    kernels = {
        name: named[f"aten::{function['structured_delegate']}"]["dispatch"]
        if "structured_delegate" in function
        else function.get("dispatch", {"CompositeImplicitAutograd": None})
        for name, function in named.items()
    }
    return {name for name, keys in kernels.items() if any("MPS" in key or "Composite" in key for key in keys)}


@pytest.mark.parametrize("queries", ["learned", "dense"])
@pytest.mark.parametrize("attention", ["iou", "iou_learned"])
def test_every_operator_is_one_of_mps(on_mps, queries, attention):
    stage = replace(TINY_MODEL.stage, attention=attention)
    experiment = replace(tiny_experiment(), model=replace(TINY_MODEL, queries=queries, stage=stage))
    torch.manual_seed(0)
    model = build_detector(experiment.model)
    images, sizes = torch.randint(0, 255, (2, 3, 64, 96), dtype=torch.uint8), torch.tensor([[64, 96], [60, 90]])
    boxes, ignored = torch.tensor([[1.0, 2, 30, 40], [3, 4, 50, 60]]), torch.zeros(0, 4)
    target = Target(boxes=boxes, labels=torch.tensor([0, 1]), ignored=ignored, size=(60, 90))
    with Recorder() as ran:
        with torch.inference_mode():
            for_inference(model).detect(images, sizes)
        experiment.criterion()(model.train()(images, sizes), [target, target], 4.0, 2).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    assert len(ran.names) > 50
    assert {name for name in ran.names - on_mps if not name.startswith(FOR_CPU)} == set()
    assert ran.in_fp64 == set()  # which mps does not have
