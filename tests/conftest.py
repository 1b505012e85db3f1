"""Fixtures that several rooms share: a small crowd, a small experiment and an exported detector."""

import io
import os
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from hypothesis import settings

from tests.exported import Exported, symbolic_shapes
from tests.tiny import SCENES, TINY_MODEL, tiny_experiment
from uncrowd.cli import main
from uncrowd.data.synthetic.scenes import write_dataset
from uncrowd.data.transforms import ResizeConfig
from uncrowd.inference import export_file
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.models.stage import Stage
from uncrowd.recipes import Experiment
from uncrowd.structures import Categories
from uncrowd.thresholds import ScoreThresholds
from uncrowd.weights.file import save_weights

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault
settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Uses one thread: more only disturb each other on images this small. It runs before any fixture that trains."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO dataset of 16 scenes to train on and 6 to score on."""
    folder = tmp_path_factory.mktemp("crowd")
    write_dataset(folder, "train", SCENES, images=16, seed=0)
    write_dataset(folder, "val", SCENES, images=6, seed=1)
    return folder


@pytest.fixture
def tiny() -> Callable[..., Experiment]:
    """`tiny(epochs=3)`: the experiment, with these settings of its training."""
    return tiny_experiment


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Both of the paper's modules, as one ONNX file; once for all tests and workers, as it takes half a minute.

    The boxes it starts from are of all sizes, some far out of the image.
    """
    model = _of_all_sizes()
    categories, resize = Categories(ids=(3, 17), names=("dark", "bright")), ResizeConfig(short_side=48, max_size=96)
    root = tmp_path_factory.getbasetemp()  # of this worker, inside that of all
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "exported"
    weights, onnx, said = folder / "weights.safetensors", folder / "deploy" / "detector.onnx", folder / "said.txt"
    with FileLock(folder.with_suffix(".lock")):
        if not said.exists():
            folder.mkdir(exist_ok=True)
            thresholds = ScoreThresholds(f1={"dark": 0.4, "bright": 0.25}, count={"dark": 0.35, "bright": 0.25})
            save_weights(weights, model, categories, resize, thresholds)
            with symbolic_shapes(), redirect_stdout(io.StringIO()) as printed:
                assert main(["export", str(weights), str(onnx)]) == 0
            said.write_text(printed.getvalue())
    return Exported(model.eval(), categories, resize, weights, onnx, said.read_text())


@pytest.fixture
def traced(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Lets an export take the graph that was traced already; holds the options that it would have been traced with."""
    given: dict[str, Any] = {}

    def write(file: Path, *_: object, **options: Any) -> None:
        given.update(options)
        shutil.copyfile(exported.onnx, file)

    monkeypatch.setattr(export_file, "write_onnx", write)
    return given


def _of_all_sizes() -> SparseRCNN:
    torch.manual_seed(0)
    model = SparseRCNN(replace(TINY_MODEL, num_classes=2, proposals=16)).to(memory_format=torch.channels_last)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        for stage in model.head.stages:
            assert isinstance(stage, Stage)
            stage.box_deltas.weight.mul_(0.2)  # as training does; else boxes run away, and rounding with them
        centres, sides = torch.rand(16, 2) * 1.4 - 0.2, torch.logspace(-4, 1, 16, base=2)[:, None]
        model.proposal_boxes_cxcywh_norm.copy_(torch.cat([centres, sides, sides], dim=1))
    return model
