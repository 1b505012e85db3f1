"""Writes a detector as one ONNX file that takes any number of images of any size and returns ranked detections."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor, nn

from uncrowd import config
from uncrowd.acceleration.for_inference import for_inference
from uncrowd.data.transforms import ResizeConfig
from uncrowd.inference.exported import INPUTS, METADATA, OUTPUTS, PROPOSALS, ExportedDescription
from uncrowd.inference.onnx_detector import import_for_onnx
from uncrowd.models.build import AnyDetectorConfig
from uncrowd.models.detector import Detector
from uncrowd.structures import Categories, Decoded
from uncrowd.thresholds import ScoreThresholds

# Versions of ONNX's operators: torch's exporter writes the first and all later ones that it and ONNX Runtime know.
OPSETS, OPSET = range(18, 24), 20
# Weighted sums of rows are computed in this many portions. All rows at once would take 400 MB for 500 boxes, and a
# portion fits the cache of a processor more often, so this is also faster.
PORTIONS = 16
# (images, height, width) of the input with which a model is traced. Tracing may turn a size of 1 into a constant, so
# every feature map of Swin, even the one of stride 32, has several windows (of side 7 to 24) in each direction.
TRACED = (2, 800, 1088)


def require_packages() -> None:
    """Raises InputError when a package is missing that the export needs, some of them only at its end."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        import_for_onnx(package)


def write_onnx(
    file: Path,
    model: Detector,
    categories: Categories,
    preprocessing: ResizeConfig,
    thresholds: ScoreThresholds | None = None,
    *,
    opset: int = OPSET,
) -> None:
    """Writes the detector to an ONNX file for `OnnxDetector.load`. model: on the CPU; it is left in evaluation mode.

    The file takes images, (b, 3, h, w) uint8 RGB, and sizes, (b, 2) int64, the (height, width) of each image before
    padding; with dense queries also proposals, (1,) int64. It returns boxes, (b, k, 4) in network pixels, and scores
    and labels, (b, k), for any b, h and w. opset: one of `OPSETS`.
    """
    assert isinstance(model.config, AnyDetectorConfig), model.config
    description = ExportedDescription(
        model=model.config,
        categories=categories,
        preprocessing=preprocessing,
        multiple=model.multiple,
        thresholds=thresholds,
    )
    images, height, width = TRACED
    given = torch.zeros(images, 3, height, width, dtype=torch.uint8), torch.tensor([[height, width]] * images)
    dynamic = {0: "batch", 2: "height", 3: "width"}, {0: "batch"}
    model.eval()
    traced = for_inference(model)  # without frozen norms, which quantization would have to round
    if model.config.any_proposals:
        slots = torch.zeros(model.config.proposals, dtype=torch.bool)
        program = to_onnx(
            DetectingAny(traced),
            (*given, slots),
            opset=opset,
            input_names=(*INPUTS, PROPOSALS),
            output_names=OUTPUTS,
            dynamic_shapes=(*dynamic, {0: "proposals"}),
        )
        _take_number(program)
    else:
        program = to_onnx(
            Detecting(traced),
            given,
            opset=opset,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_shapes=dynamic,
        )
    _forget_where_it_was_made(program)
    program.model.metadata_props[METADATA] = json.dumps(config.to_dict(description))
    program.save(file, external_data=False)


def to_onnx(
    module: nn.Module, arguments: tuple[Any, ...], *, opset: int = OPSET, optimize: bool = True, **options: Any
) -> torch.onnx.ONNXProgram:
    """Returns the module as ONNX, traced in evaluation mode with these arguments. options: for `torch.onnx.export`."""
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            module.eval(),
            arguments,
            dynamo=True,
            verbose=False,
            optimize=False,
            opset_version=opset,
            custom_translation_table=_translations(opset),
            **options,
        )
        assert program is not None
        if optimize:
            _remove_what_is_known(program)
            program.optimize()
    return program


def _remove_what_is_known(program: torch.onnx.ONNXProgram) -> None:
    """Computes what depends on no input, and removes duplicates, which leaves less than half of the operators.

    `ONNXProgram.optimize` does so too, but one of its rules first compares each operator with all others.
    """
    import_for_onnx("onnxscript.optimizer").fold_constants(program.model)
    passes = import_for_onnx("onnx_ir.passes.common")
    passes.RemoveUnusedNodesPass()(program.model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(program.model)
    passes.CommonSubexpressionEliminationPass()(program.model)


def _forget_where_it_was_made(program: torch.onnx.ONNXProgram) -> None:
    """Removes the source lines that torch stores with each operator: they are larger than the weights."""
    program.model.graph.metadata_props.clear()
    for node in program.model.graph:
        node.metadata_props.clear()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides two warnings that need no action: inputs share an axis, and some sizes are not constant."""
    logger = logging.getLogger("onnxscript")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "# The axis name", UserWarning)
            yield
    finally:
        logger.setLevel(level)


class Detecting(nn.Module):
    """The computation that is exported: a model and the decoding of its outputs."""

    def __init__(self, model: Detector):
        super().__init__()
        self.model = model

    def forward(self, images: Shaped[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"]) -> Decoded:
        """See `Detector.detect`."""
        return self.model.decode(self.model(images, sizes))


class DetectingAny(nn.Module):
    """As `Detecting`, for a model with dense queries: it finds as many objects as `slots` is long.

    A number that is given as the length of a tensor stays a symbol when the model is traced.
    """

    def __init__(self, model: Detector):
        super().__init__()
        self.model = model

    def forward(
        self, images: Shaped[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"], slots: Shaped[Tensor, " n"]
    ) -> Decoded:
        """See `Detector.detect`. slots: only its length counts."""
        return self.model.decode(self.model(images, sizes, slots.shape[0]))


def _take_number(program: torch.onnx.ONNXProgram) -> None:
    """Replaces the last input, of which only the length counts, by one that holds this length."""
    ir = import_for_onnx("onnx_ir")
    graph = program.model.graph
    slots = graph.inputs.pop()
    slots.name = "slots"
    number = ir.Value(name=PROPOSALS, shape=ir.Shape([1]), type=ir.TensorType(ir.DataType.INT64))
    made = ir.node("ConstantOfShape", [number])
    graph.insert_before(graph[0], made)
    ir.convenience.replace_all_uses_with(slots, made.outputs[0])
    graph.inputs.append(number)


def _translations(opset: int) -> dict[Callable, Callable]:
    """Returns ONNX implementations of torch operators for which ONNX has none."""
    op = getattr(import_for_onnx("onnxscript"), f"opset{opset}")

    def embedding_bag(
        rows: Any,
        index: Any,
        starts: Any,
        scale_grad_by_freq: bool,
        mode: int,
        sparse: bool,
        weight: Any,
        include_last_offset: bool,
        padding_idx: int,
    ) -> tuple[Any, ...]:
        """Computes weighted sums of equally many rows, as only `roi_align` needs. starts: where each sum begins."""
        assert mode == 0, "sums"
        sums, one, rest = op.Shape(starts), op.Constant(value_ints=[1]), op.Constant(value_ints=[-1])
        index = op.Reshape(index, op.Concat(sums, rest, axis=0))
        weight = op.Reshape(weight, op.Concat(sums, one, rest, axis=0))
        portions = op.Constant(value_ints=list(range(1, PORTIONS + 1)))
        ends = op.Div(op.Mul(sums, portions), op.Constant(value_ints=[PORTIONS]))
        made, begin = [], op.Constant(value_ints=[0])
        for end in op.Split(ends, num_outputs=PORTIONS):
            taken = op.Gather(rows, op.Slice(index, begin, end))
            made.append(op.MatMul(op.Slice(weight, begin, end), taken))
            begin = end
        # torch's operator also returns three values that only its backward pass reads
        return op.Squeeze(op.Concat(*made, axis=0), one), *(op.Identity(starts) for _ in range(3))

    def sort(values: Any, *, stable: bool, dim: int = -1, descending: bool = False) -> tuple[Any, Any]:
        """Sorts with TopK, which keeps equal values in their order."""
        return op.TopK(values, op.Shape(values, start=dim, end=dim + 1 or None), axis=dim, largest=int(descending))

    return {torch.ops.aten.embedding_bag.padding_idx: embedding_bag, torch.ops.aten.sort.stable: sort}
