"""A compiled model computes what the plain one does, in graphs without breaks; stages are compiled for all sizes."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from uncrowd.acceleration.compile import compile_layers, compile_whole
from uncrowd.errors import InputError
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.build import build_detector
from uncrowd.models.detr import DETRConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig

ROUNDING = 1e-3  # as a share of a tensor's largest value
BACKWARD = 5e-2  # of a gradient's largest value: rounding may change the sign of a ReLU's input near 0


def run(*what: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.acceleration.compiled_program", *what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_stages_are_compiled_once_for_all_sizes_and_pass_gradients() -> None:
    """Two stages make two graphs: only the first stage receives boxes with a gradient."""
    found = run("layers")
    assert found["graphs"] == [2, 2]
    assert found["breaks"] == 0
    assert found["apart"] < ROUNDING
    assert found["apart_backward"] < BACKWARD


@pytest.mark.parametrize("queries", [(), ("dense",)], ids=["learned", "dense"])
def test_the_whole_model_is_one_graph_for_each_size(queries: tuple[str, ...]) -> None:
    found = run("whole", *queries)
    assert found["graphs"] == [1, 2]
    assert found["breaks"] == 0
    assert found["apart"] < ROUNDING


@pytest.mark.parametrize(("config", "layers"), [(SparseRCNNConfig(stages=2), 2), (DETRConfig(decoder_layers=2), 8)])
def test_every_layer_of_a_detector_is_compiled(
    config: SparseRCNNConfig | DETRConfig, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers are the stages of Sparse R-CNN, or the layers of DETR's encoder and decoder."""
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module, **_: compiled.append(module))
    with torch.device("meta"):
        model = build_detector(replace(config, backbone=BackboneConfig(name="resnet10t", frozen_stages=0)))
    compile_layers(model, torch.device("cpu"))
    assert len(compiled) == layers


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_a_compiler_that_does_not_work_is_refused_at_once(compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        model = build_detector(SparseRCNNConfig(stages=1, backbone=BackboneConfig(name="resnet10t", frozen_stages=0)))
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("CC", compiler)
    pytest.importorskip("triton")
    for device, words in (("cpu", r"a C\+\+ compiler \(.* CXX names\)"), ("cuda", "a C compiler")):
        with pytest.raises(InputError, match=f"torch.compile needs {words}"):
            compile_layers(model, torch.device(device))
    with pytest.raises(InputError, match=r"a C\+\+ compiler .* finds none here; install it, or do not"):
        compile_whole(model)
