"""An exported detector predicts as its weights do, and other files are refused in one sentence."""

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

import uncrowd
from tests.exported import Exported
from tests.inference.cases import assert_same, random_image
from uncrowd import InputError
from uncrowd.data.formats.open import open_dataset
from uncrowd.inference.evaluate import detect
from uncrowd.inference.exported import METADATA
from uncrowd.inference.onnx_detector import CPU, OnnxDetector
from uncrowd.inference.tta import TTAConfig, View
from uncrowd.models.detr import DETRConfig


@pytest.mark.parametrize("batch_size", [1, 4])
def test_it_predicts_as_its_weights(exported: Exported, batch_size: int) -> None:
    ours, theirs = uncrowd.load(exported.onnx), uncrowd.load(exported.weights, "cpu")
    assert (ours.categories, ours.resize) == (theirs.categories, theirs.resize)
    assert ours.thresholds is not None
    assert ours.thresholds == theirs.thresholds
    images = [random_image(*size, seed=seed) for seed, size in enumerate([(48, 64), (48, 64), (200, 133), (30, 500)])]
    both = zip(ours.predict(images, batch_size=batch_size), theirs.predict(images), strict=True)
    for found, expected in both:
        assert len(found) > 3
        assert_same(found, expected)


def test_it_predicts_in_views_as_its_weights(exported: Exported) -> None:
    tta = TTAConfig(views=(View(short_side=48, max_size=96), View(short_side=64, max_size=96)))
    ours, theirs = (uncrowd.load(file, "cpu", tta) for file in (exported.onnx, exported.weights))
    assert_same(ours.predict(random_image(48, 64)), theirs.predict(random_image(48, 64)))


def test_it_detects_in_a_dataset_as_its_weights(exported: Exported, crowd: Path) -> None:
    dataset = open_dataset(crowd).val
    assert dataset is not None
    ours, theirs = (detect(uncrowd.load(file, "cpu"), dataset) for file in (exported.onnx, exported.weights))
    assert len(ours.detections) == 6
    for id, found in ours.detections.items():
        assert_same(found, theirs.detections[id])


def test_it_gets_as_many_threads_as_torch(exported: Exported) -> None:
    detector = uncrowd.load(exported.onnx).model
    assert isinstance(detector, OnnxDetector)
    assert detector.session.get_session_options().intra_op_num_threads == torch.get_num_threads()


@pytest.mark.parametrize("device", ["cuda", "no device"])
def test_a_missing_device_is_named(exported: Exported, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(
        InputError, match=f"There is no device '{device}' for ONNX Runtime here; give 'cpu', or no device"
    ):
        uncrowd.load(exported.onnx, device)


def test_a_gpu_that_cannot_be_used_is_reported(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime itself only warns, and continues without the GPU."""
    start = onnxruntime.InferenceSession
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda path, options, _: start(path, options, [CPU]))
    with pytest.raises(InputError, match=r"cannot use the GPU here: a library .* is missing; .* Give 'cpu' as"):
        uncrowd.load(exported.onnx)
    assert uncrowd.load(exported.onnx, "cpu").model.config.proposals


def test_a_file_that_is_not_onnx_is_refused(
    exported: Exported, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=r"nothing\.onnx does not exist or is not a file; give an ONNX file"):
        uncrowd.load(tmp_path / "nothing.onnx")
    content = exported.onnx.read_bytes()
    for name, damaged in {"text": b"no ONNX", "cut": content[: len(content) // 2], "empty": b""}.items():
        (tmp_path / f"{name}.onnx").write_bytes(damaged)
        with pytest.raises(
            InputError, match=rf"{name}\.onnx is not an ONNX file that ONNX Runtime can run, or .*"
        ) as said:
            uncrowd.load(tmp_path / f"{name}.onnx")
        assert "\n" not in str(said.value)
    assert capfd.readouterr() == ("", "")


def test_a_predictor_is_pickled_and_copied_by_its_file(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported.onnx.parent)
    predictor = uncrowd.load(exported.onnx.name, "cpu")
    image = random_image(48, 64)
    monkeypatch.chdir("/")  # another process may have another folder
    for other in (pickle.loads(pickle.dumps(predictor)), copy.deepcopy(predictor)):
        assert_same(other.predict(image), predictor.predict(image))


def test_an_onnx_file_of_others_is_refused(tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", [x], [y])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(model, tmp_path / "theirs.onnx")
    with pytest.raises(InputError, match=r"theirs\.onnx is a file without uncrowd's description of a detector"):
        uncrowd.load(tmp_path / "theirs.onnx")
    for value, sentence in {
        "{": "has a damaged description",
        '{"model": 3}': "is not a valid ExportedDescription",
    }.items():
        helper.set_model_props(model, {METADATA: value})
        onnx.save(model, tmp_path / "theirs.onnx")
        with pytest.raises(InputError, match=rf"theirs\.onnx {sentence}"):
            uncrowd.load(tmp_path / "theirs.onnx")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ({"multiple": 0}, "multiple is 0; give 1 or more"),
        ({"categories": {"ids": [3], "names": ["dark"]}}, "1 class ids and 1 names for 2 classes"),
        ({"categories": {"ids": [3, 3], "names": ["dark", "bright"]}}, "1 class ids and 2 names for 2 classes"),
        ({}, r"has the description of a detector, but maps x to y; export it again"),
    ],
    ids=str,
)
def test_a_wrong_description_is_refused(
    exported: Exported, tmp_path: Path, damage: dict[str, Any], sentence: str
) -> None:
    (metadata,) = onnx.load(exported.onnx).metadata_props
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", [x], [y])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    helper.set_model_props(model, {METADATA: json.dumps(json.loads(metadata.value) | damage)})
    onnx.save(model, tmp_path / "odd.ONNX")
    with pytest.raises(InputError, match=rf"odd\.ONNX .*{sentence}"):
        uncrowd.load(tmp_path / "odd.ONNX")


@pytest.mark.parametrize("shift", [-2, 2])
def test_labels_of_no_class_are_refused(exported: Exported, tmp_path: Path, shift: int) -> None:
    file = onnx.load(exported.onnx)
    (last,) = (node for node in file.graph.node if "labels" in node.output)
    last.output[:] = ["within" if name == "labels" else name for name in last.output]
    file.graph.initializer.append(helper.make_tensor("shift", TensorProto.INT64, [], [shift]))
    file.graph.node.append(helper.make_node("Add", ["within", "shift"], ["labels"]))
    onnx.save(file, tmp_path / "shifted.onnx")
    predictor = uncrowd.load(tmp_path / "shifted.onnx", "cpu")
    with pytest.raises(InputError, match=r"shifted\.onnx finds objects of more classes than the 2 it names"):
        predictor.predict(random_image(48, 64))


def test_results_do_not_share_memory(exported: Exported) -> None:
    detector = uncrowd.load(exported.onnx).model
    images = torch.from_numpy(np.stack([random_image(48, 64)] * 2)).permute(0, 3, 1, 2)  # not contiguous
    boxes, scores, labels = detector.detect(images, torch.tensor([[48, 64]] * 2))
    assert (boxes.shape, boxes.dtype) == ((2, 16, 4), torch.float32)
    assert (scores.shape, labels.shape, labels.dtype) == ((2, 16), (2, 16), torch.int64)
    assert torch.equal(boxes[0], boxes[1])


def test_the_description_of_a_detr_may_say_channel_weighting(exported: Exported, tmp_path: Path) -> None:
    """An earlier version wrote that key; this one writes `interaction`."""
    file = onnx.load(exported.onnx)
    (metadata,) = file.metadata_props
    model = {"kind": "DETRConfig", "num_classes": 2, "channel_weighting": True}
    helper.set_model_props(file, {METADATA: json.dumps(json.loads(metadata.value) | {"model": model})})
    onnx.save(file, tmp_path / "detr.onnx")
    assert uncrowd.load(tmp_path / "detr.onnx").model.config == DETRConfig(num_classes=2, interaction="dcw")


def test_onnx_runtime_records_nothing(tmp_path: Path) -> None:
    """It would write its records below the user's folder as soon as it is imported."""
    code = "from uncrowd.inference.onnx_detector import import_for_onnx; print(import_for_onnx('onnxruntime').__name__)"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "onnxruntime\n"
    assert [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name] == []
