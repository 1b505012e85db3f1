"""`uncrowd export` in half precision, quantized and for OpenVINO; the graph itself is traced once for all tests."""

import copy
import json
import pickle
import re
import subprocess
import sys

import onnx
import pytest

import uncrowd as library
from tests.inference.cases import assert_same, random_image
from uncrowd.inference import export_file
from uncrowd.inference.export_check import made_up
from uncrowd.inference.half import PASSING, PRECISE
from uncrowd.inference.onnx_detector import OnnxDetector
from uncrowd.inference.openvino_detector import OpenVinoDetector


def numbers_of(file):
    """The element types of inputs and outputs, and the kinds of nodes that read or write fp16, by the file's names."""
    graph = onnx.load(file).graph
    kinds = {node.op_type for node in graph.node if any(name.endswith("/half") for name in node.output)}
    return [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)], kinds


def test_half_precision_keeps_boxes_scores_and_attention_in_fp32(uncrowd, exported, traced, tmp_path):
    file = tmp_path / "half.onnx"
    said = uncrowd("export", exported.weights, file, "--half", "--opset", "19")
    assert (said.status, traced["opset"]) == (0, 19)
    assert re.search(r"ONNX Runtime 90% of detections within .*\n +torch, bf16 +90% of detections within", said.out)
    types, kinds = numbers_of(file)
    assert types == numbers_of(exported.onnx)[0]
    assert {"Conv", "Gemm", "MatMul"} <= kinds <= {"Conv", "Gemm", "MatMul", "Cast", *PASSING}
    assert file.stat().st_size < 0.9 * exported.onnx.stat().st_size
    onnx.checker.check_model(onnx.load(file), full_check=True)
    assert OnnxDetector.load(file, "cpu").description == OnnxDetector.load(exported.onnx, "cpu").description


def test_openvino_finds_what_the_weights_find(uncrowd, refused, exported, traced, tmp_path):
    file = tmp_path / "deploy" / "detector.xml"
    said = uncrowd("export", exported.weights, file)
    assert said.status == 0
    assert re.search(r"OpenVINO +90% of detections within", said.out)
    assert sorted(made.name for made in file.parent.iterdir()) == ["detector.bin", "detector.xml"]
    ours, theirs = library.load(file), library.load(exported.weights, "cpu")
    assert (ours.categories, ours.resize, ours.thresholds) == (theirs.categories, theirs.resize, theirs.thresholds)
    assert isinstance(ours.model, OpenVinoDetector)
    images = [random_image(48, 64), random_image(48, 64, seed=1), random_image(200, 133)]
    for one in (ours, pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
        for found, expected in zip(one.predict(images), theirs.predict(images), strict=True):
            assert len(found) > 3
            assert_same(found, expected)
    held = json.loads(uncrowd("info", file).out)
    assert held == json.loads(uncrowd("info", exported.weights).out)
    assert "which can only run inference" in refused("export", file, tmp_path / "again.onnx")


SIGNALLED = """
import os, signal, sys
import uncrowd

signal.signal(signal.SIGUSR1, lambda number, frame: print("handled"))
first, second = (uncrowd.load(sys.argv[1]) for _ in range(2))
del first
del second
os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signals")
def test_a_signal_is_handled_after_two_openvino_detectors(exported, traced, tmp_path):
    file = tmp_path / "detector.xml"
    export_file.export(exported.weights, file)
    command = [sys.executable, "-c", SIGNALLED, str(file)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "handled\n"


def test_files_that_openvino_cannot_run_are_refused(exported, traced, tmp_path):
    file = tmp_path / "detector.xml"
    export_file.export(exported.weights, file)
    with pytest.raises(library.InputError, match="runs on a CPU only, not on 'cuda'"):
        library.load(file, "cuda")
    with pytest.raises(library.InputError, match="leave bf16, compiled and one_label"):
        library.load(file, bf16=True)
    whole = file.read_text()
    file.write_text(whole.replace("uncrowd.detector", "of.others"))
    with pytest.raises(library.InputError, match="is a file without uncrowd's description of a detector"):
        library.load(file)
    file.write_text(whole[: len(whole) // 2])
    with pytest.raises(library.InputError, match="is not a file that OpenVINO can run, or is damaged"):
        library.load(file)
    file.with_suffix(".bin").unlink()
    with pytest.raises(library.InputError, match=r"detector\.bin does not exist"):
        library.load(file)


@pytest.mark.parametrize("ending", ["onnx", "xml"])
def test_int8_spares_attention_and_predictions_and_says_what_it_costs(
    uncrowd, exported, traced, shapes, tmp_path, ending
):
    file = tmp_path / f"int8.{ending}"
    said = uncrowd("export", exported.weights, file, "--int8", "--data", shapes, "--images", 2)
    assert said.status == 0, said.err
    assert "scored on 3 images, and timed on them in turns" in said.out
    assert re.search(
        r"fp32 +AP .*%, .* ms an image\n +int8 +AP .*%, .* ms an image\n +int8 .*points, .* times", said.out
    )
    images, sizes = made_up([(48, 64)], seed=0)
    assert library.load(file, "cpu").model.detect(images, sizes).boxes.shape == (1, 16, 4)
    if ending == "onnx":
        graph = onnx.load(file).graph
        integers = {each.name for each in graph.initializer if each.data_type == onnx.TensorProto.INT8}
        made = {name: node for node in graph.node for name in node.output}
        plain = {
            name
            for node in graph.node
            if node.op_type in ("Conv", "Gemm")
            for name in node.input[1:2]
            if name not in made or made[name].input[0] not in integers
        }
        assert {"class_logits", "box_deltas"} <= {name.split(".")[-2] for name in plain}
        assert all(any(part in name for part in PRECISE) for name in plain)


def test_what_does_not_go_together_is_refused(refused, exported, shapes, tmp_path):
    file = tmp_path / "detector.onnx"
    assert "opset is 17; give a whole number from 18 to 23" in refused("export", exported.weights, file, "--opset", 17)
    assert "--int8 needs images to calibrate with" in refused("export", exported.weights, file, "--int8")
    both = ("--half", "--int8", "--data", shapes)
    assert "half and int8 exclude each other" in refused("export", exported.weights, file, *both)
    assert "end its name in .onnx, .xml or .safetensors" in refused(
        "export", exported.weights, tmp_path / "detector.trt"
    )
    assert not list(tmp_path.iterdir())
