"""Quantizes an exported detector to int8 with ONNX Runtime, calibrated on images.

The convolutions of the backbone and the pyramid are quantized, with what lies between them, and so are the linear
layers that follow. Weights have a scale for each channel. Box arithmetic, IoU, attention, RoI pooling, norms, scores,
and the layers that predict boxes and scores stay in fp32.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.loader import InferenceLoader
from uncrowd.errors import InputError
from uncrowd.inference.half import PRECISE
from uncrowd.inference.onnx_detector import CPU, OnnxDetector, import_for_onnx

IMAGES = 100  # to calibrate with, unless another number is given
# Operators between two convolutions that int8 passes through.
PASSING = {"Relu", "Clip", "Add", "MaxPool", "Resize"}
LINEAR = ["Gemm", "MatMul"]


def to_int8(detector: OnnxDetector, destination: Path, dataset: DetectionDataset, images: int) -> None:
    """Writes a quantized copy of an ONNX file of `write_onnx`.

    detector: the file, loaded. dataset, images: the range of each activation is the smallest and the largest value that
    it has in the first so many images. Raises InputError when none of them can be read.
    """
    quantization = import_for_onnx("onnxruntime.quantization")
    model = _folded(detector.path)
    batches = _batches(detector, dataset, images)
    with _quiet(), np.errstate(invalid="ignore"):  # infinite ranges, of numbers that are not quantized
        quantization.quantize_static(
            model,
            destination,
            _Reader(batches),
            op_types_to_quantize=["Conv", *PASSING, *LINEAR],
            nodes_to_quantize=[*_convolutions(model.graph), *_linear_layers(model.graph)],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            extra_options={"OpTypesToExcludeOutputQuantization": LINEAR},
        )


def _folded(file: Path) -> Any:
    """Returns the model after ONNX Runtime has computed all constants, such as each half of the weights of a layer."""
    runtime = import_for_onnx("onnxruntime")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        folded = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(folded)
        runtime.InferenceSession(file, options, [CPU])
        return import_for_onnx("onnx").load(folded)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the advice to optimize the graph first, which the export has done."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _convolutions(graph: Any) -> list[str]:
    """Returns the names of the convolutions, and of the nodes that read nothing but their results."""
    weights, made, names = {each.name for each in graph.initializer}, set(), []
    for node in graph.node:
        numbers = node.input[:1] if node.op_type in ("Resize", "Clip") else node.input
        passing = node.op_type in PASSING and all(name in made for name in numbers if name not in weights)
        if node.op_type == "Conv" or passing:
            made.update(node.output)
            names.append(node.name)
    return names


def _linear_layers(graph: Any) -> list[str]:
    """Returns the names of the linear layers, but for those of attention and those that predict boxes and scores.

    The weights of some have lost their name, but then the next node adds a bias that has one.
    """
    weights = {each.name for each in graph.initializer}
    added = {name: node.input for node in graph.node if node.op_type == "Add" for name in node.input}
    layers = (node for node in graph.node if node.op_type in LINEAR and node.input[1] in weights)
    named = {layer.name: " ".join([*layer.input, *added.get(layer.output[0], ())]) for layer in layers}
    return [layer for layer, names in named.items() if not any(part in names for part in PRECISE)]


def _batches(detector: OnnxDetector, dataset: DetectionDataset, images: int) -> Iterator[dict[str, np.ndarray]]:
    """Yields the inputs for one image after the other, each read when it is asked for."""
    preprocessing, multiple = detector.description.preprocessing, detector.multiple
    loader = InferenceLoader(dataset, preprocessing, multiple=multiple, batch_size=1)
    readable = (batch for batch in loader if batch.ids)
    given = (detector.inputs(batch.images, batch.sizes) for batch in islice(readable, images))
    first = next(given, None)
    if first is None:
        raise InputError(f"{dataset.source}: none of the images to calibrate with can be read; run `uncrowd check`.")
    yield first
    yield from given


class _Reader:
    """Gives ONNX Runtime one batch after another."""

    def __init__(self, batches: Iterator[dict[str, np.ndarray]]):
        self._batches = batches

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Returns the next batch, or None after the last."""
        return next(self._batches, None)
