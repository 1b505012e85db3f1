"""Converts an exported detector for OpenVINO and runs it there: a graph (.xml) and, beside it, its weights (.bin)."""

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from uncrowd.errors import InputError
from uncrowd.extras import extras_of
from uncrowd.inference.exported import METADATA, OUTPUTS, ExportedDescription, ExportedDetector, read_description

if TYPE_CHECKING:
    import openvino

FRAMEWORK = "framework"  # where OpenVINO keeps the metadata of an ONNX file that it converted


class OpenVinoDetector(ExportedDetector):
    """Detects with OpenVINO on the CPU, in as many threads as torch.

    path, device, proposals: what `load` was given.
    """

    def __init__(
        self,
        compiled: "openvino.CompiledModel",
        description: ExportedDescription,
        path: Path,
        device: torch.device | str | None,
        proposals: int | None = None,
    ):
        super().__init__(description, path, device, proposals)
        self.compiled = compiled

    @classmethod
    def load(
        cls, path: Path, device: torch.device | str | None = None, proposals: int | None = None
    ) -> "OpenVinoDetector":
        """Reads an .xml that `uncrowd export` wrote, and the .bin of its weights.

        device: the CPU or None. proposals: another number than in training, for a model with dense queries; see
        `with_number`. Raises InputError when OpenVINO is not installed, for any other device, and when a file does not
        exist, is damaged, or was not written by `uncrowd export`.
        """
        if torch.device(device or "cpu").type != "cpu":
            raise InputError(f"{path} runs on a CPU only, not on {str(device)!r}; give 'cpu', or no device.")
        core = openvino_core()
        for file in (path, path.with_suffix(".bin")):
            if not file.is_file():
                raise InputError(f"{file} does not exist or is not a file; OpenVINO needs the .xml and the .bin.")
        settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # else it rounds boxes to bf16 on CPUs with instructions for that
        }
        try:
            model = core.read_model(path)
            compiled = core.compile_model(model, "CPU", settings)
        except Exception as error:  # OpenVINO raises RuntimeError, and its parser others
            reason = " ".join(str(error).split())
            raise InputError(f"{path} is not a file that OpenVINO can run, or is damaged ({reason}).") from error
        place = [FRAMEWORK, METADATA]
        text = model.get_rt_info(place).astype(str) if model.has_rt_info(place) else None
        inputs, outputs = ([port.any_name for port in of] for of in (model.inputs, model.outputs))
        return cls(compiled, read_description(text, path, inputs, outputs), path, device, proposals)

    def run(self, given: dict[str, np.ndarray]) -> Iterable[np.ndarray]:
        """See `ExportedDetector.run`."""
        found = self.compiled({name: np.ascontiguousarray(array) for name, array in given.items()})
        return [found[name] for name in OUTPUTS]


def to_openvino(onnx_file: Path) -> Path:
    """Converts an ONNX file of `write_onnx`, with its metadata, to an .xml and a .bin beside it; returns the .xml.

    Numbers keep their types. Raises InputError when OpenVINO is not installed.
    """
    graph = onnx_file.with_suffix(".xml")
    model = openvino_core().read_model(onnx_file)  # `convert_model` would report the conversion to Intel
    import_openvino().save_model(model, graph, compress_to_fp16=False)
    return graph


@cache
def openvino_core() -> "openvino.Core":
    """Returns the one core of OpenVINO in this process. Raises InputError when OpenVINO is not installed.

    A core for CPUs with AMX replaces the thread's alternate stack of signals, and puts back the one before when it is
    deleted. Of two cores, the later one can so put back a stack that the earlier one freed, and the next signal with a
    handler, such as Ctrl-C, would end the process without a word.
    """
    return import_openvino().Core()


def import_openvino() -> Any:
    """Imports OpenVINO. Raises InputError when it is not installed."""
    with extras_of("OpenVINO"):
        return import_module("openvino")
