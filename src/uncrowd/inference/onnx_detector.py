"""Runs a detector that `uncrowd export` wrote to an ONNX file, with ONNX Runtime instead of torch."""

import os
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from uncrowd.errors import InputError
from uncrowd.extras import extras_of
from uncrowd.inference.exported import METADATA, OUTPUTS, ExportedDescription, ExportedDetector, read_description

if TYPE_CHECKING:
    import onnxruntime

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class OnnxDetector(ExportedDetector):
    """Detects with ONNX Runtime, in as many threads as torch. path, device, proposals: what `load` was given."""

    def __init__(
        self,
        session: "onnxruntime.InferenceSession",
        description: ExportedDescription,
        path: Path,
        device: torch.device | str | None,
        proposals: int | None = None,
    ):
        super().__init__(description, path, device, proposals)
        self.session = session

    @classmethod
    def load(cls, path: Path, device: torch.device | str | None = None, proposals: int | None = None) -> "OnnxDetector":
        """Reads a file that `write_onnx` wrote.

        device: by default a GPU if ONNX Runtime can use one, else the CPU. proposals: another number than in training,
        for a model with dense queries; see `with_number`.

        Raises InputError when ONNX Runtime is not installed or cannot use the device, and when the file does not exist,
        is damaged, or was not written by `uncrowd export`.
        """
        runtime = import_for_onnx("onnxruntime")
        if not path.is_file():
            raise InputError(f"{path} does not exist or is not a file; give an ONNX file that `uncrowd export` wrote.")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        providers = _providers(runtime, device)
        try:
            session = runtime.InferenceSession(path, options, providers)
        except Exception as error:  # its dozen classes of errors have no common base
            raise InputError(
                f"{path} is not an ONNX file that ONNX Runtime can run, or is damaged ({error})."
            ) from error
        if len(session.get_providers()) < len(providers):  # it only warns when it cannot start one
            raise InputError(
                "ONNX Runtime cannot use the GPU here: a library (CUDA, cuDNN) of the version it was built for is "
                f"missing; its warning above names it. Give 'cpu' as device to run {path} without a GPU."
            )
        inputs, outputs = ([value.name for value in of] for of in (session.get_inputs(), session.get_outputs()))
        text = session.get_modelmeta().custom_metadata_map.get(METADATA)
        return cls(session, read_description(text, path, inputs, outputs), path, device, proposals)

    def run(self, given: dict[str, np.ndarray]) -> Iterable[np.ndarray]:
        """See `ExportedDetector.run`."""
        return [np.asarray(array) for array in self.session.run(OUTPUTS, given)]


def import_for_onnx(name: str) -> Any:
    """Imports a module that only ONNX files need. Raises InputError when it is not installed.

    ONNX Runtime's wheels for Linux record what they run, from their import on, and report it to Microsoft. This turns
    it off, unless the environment says otherwise.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    with extras_of("ONNX"):
        return import_module(name)


def _providers(runtime: Any, device: torch.device | str | None) -> list[Any]:
    """Returns the execution providers for ONNX Runtime, in order of preference."""
    on_gpu = CUDA in runtime.get_available_providers() and torch.cuda.is_available()
    wanted = str(device or ("cuda" if on_gpu else "cpu"))
    kind, _, index = wanted.partition(":")
    if kind == "cpu":
        return [CPU]
    if kind == "cuda" and on_gpu:
        # fp32, as on a CPU: its default on a GPU is TF32, which keeps 10 of 23 bits
        return [(CUDA, {"device_id": index or "0", "use_tf32": "0"}), CPU]
    raise InputError(
        f"There is no device {wanted!r} for ONNX Runtime here; give 'cpu', or no device. 'cuda' needs a GPU and the "
        "package onnxruntime-gpu instead of onnxruntime."
    )
