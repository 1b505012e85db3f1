"""Stores and computes an exported detector in half precision (fp16) where rounding to 11 bits does no harm.

The backbone, the pyramid and the layers of each stage are converted. Box arithmetic, IoU, attention, RoI pooling,
scores, and the layers that predict boxes and scores stay in fp32; so do all inputs and outputs.
"""

from pathlib import Path
from typing import Any

import numpy as np

from uncrowd.inference.onnx_detector import import_for_onnx

# Layers with weights of their own that stay in fp32, by a part of the weights' names.
PRECISE = ("attention", "class_logits", "box_deltas", "sides", "boxes_cxcywh_norm")
# Operators that keep the precision of what they are given.
PASSING = {
    *("Relu", "Clip", "Sigmoid", "HardSwish", "LayerNormalization", "InstanceNormalization", "GroupNormalization"),
    *("Add", "Mul", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize", "Pad"),
    *("Reshape", "Transpose", "Unsqueeze", "Squeeze", "Split"),
}
# Operators whose later inputs are no numbers of the computation, such as a shape, and how many come first that are.
NUMBERS = {"Reshape": 1, "Unsqueeze": 1, "Squeeze": 1, "Split": 1, "Resize": 1, "Pad": 1}
HALF = "/half"  # ends the names of numbers in half precision


def to_half(path: Path) -> None:
    """Converts an ONNX file of `write_onnx` in place."""
    onnx = import_for_onnx("onnx")
    model = onnx.load(path)
    _halve(model.graph, onnx)
    del model.graph.value_info[:]  # the types of some have changed
    onnx.save(model, path)


def _halve(graph: Any, onnx: Any) -> None:
    """Lets nodes compute in half precision, with a cast where a number passes from one precision to the other.

    A number has the name that it had where it is in fp32, and in half precision that name with an ending.
    """
    types = onnx.TensorProto
    weights = {each.name: each for each in graph.initializer if each.data_type == types.FLOAT}
    made: set[str] = set()  # numbers that a node computes in half precision
    halved: set[str] = set()  # those, and all others that are there in half precision
    nodes: list[Any] = []

    def cast(name: str, to: str, kind: int) -> None:
        nodes.append(onnx.helper.make_node("Cast", [name], [to], name=f"cast to {to}", to=kind))

    for node in graph.node:
        if not _is_half(node, made, weights):
            nodes.append(node)
            continue
        for place, name in enumerate(_numbers(node)):
            if name in weights and name not in halved:
                array = onnx.numpy_helper.to_array(weights[name]).astype(np.float16)
                graph.initializer.append(onnx.numpy_helper.from_array(array, f"{name}{HALF}"))
            elif name and name not in halved:
                cast(name, f"{name}{HALF}", types.FLOAT16)
            if name:  # an input that is left out has none
                halved.add(name)
                node.input[place] = f"{name}{HALF}"
        outputs = list(node.output)
        made.update(outputs)
        halved.update(outputs)
        node.output[:] = [f"{name}{HALF}" for name in outputs]
        nodes.append(node)
        for name in outputs:
            cast(f"{name}{HALF}", name, types.FLOAT)
    _keep_what_is_read(graph, nodes)


def _numbers(node: Any) -> list[str]:
    """Returns the inputs that have to be of one precision."""
    return list(node.input[: NUMBERS.get(node.op_type)])


def _is_half(node: Any, made: set[str], weights: dict[str, Any]) -> bool:
    match node.op_type:
        case "Conv" | "Gemm":
            return not any(part in name for name in node.input for part in PRECISE)
        case "MatMul":  # the two dynamic convolutions, of which a layer makes the kernels
            return any(name in made for name in node.input)
        case kind:
            return kind in PASSING and all(name in made or name in weights for name in _numbers(node) if name)


def _keep_what_is_read(graph: Any, nodes: list[Any]) -> None:
    """Puts the nodes into the graph, without casts and weights that nothing reads."""
    read = {name for node in nodes for name in node.input} | {value.name for value in graph.output}
    nodes = [node for node in nodes if node.op_type != "Cast" or read.intersection(node.output)]
    weights = [each for each in graph.initializer if each.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)
