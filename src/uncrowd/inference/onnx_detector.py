"""Runs a detector that `uncrowd export` wrote to an ONNX file, with ONNX Runtime instead of torch."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from uncrowd import config
from uncrowd.data.transforms import ResizeConfig
from uncrowd.errors import InputError, require_at_least
from uncrowd.extras import extras_of
from uncrowd.models.build import AnyDetectorConfig
from uncrowd.models.detector import Detector
from uncrowd.structures import Categories, Decoded
from uncrowd.thresholds import ScoreThresholds
from uncrowd.weights.file import require_classes
from uncrowd.weights.proposals import at_inference

if TYPE_CHECKING:
    import onnxruntime

INPUTS, OUTPUTS = ("images", "sizes"), Decoded._fields
PROPOSALS = "proposals"  # a third input of models with dense queries, (1,) int64
METADATA = "uncrowd.detector"  # the key in the file's metadata
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@dataclass(frozen=True, kw_only=True)
class OnnxDescription:
    """All that is needed to use the file on its own; it is stored as JSON in the metadata of the file."""

    model: AnyDetectorConfig
    categories: Categories
    # The size to which images are resized before detection.
    preprocessing: ResizeConfig
    # See `Detector.multiple`.
    multiple: int
    # The best score thresholds on validation data, if there were any.
    thresholds: ScoreThresholds | None = None

    def __post_init__(self) -> None:
        """Raises InputError for a multiple that no side can be padded to."""
        require_at_least(1, multiple=self.multiple)


class OnnxDetector:
    """Detects like the `Detector` that was exported, but gives no access to intermediate results.

    multiple, config: see `Detector`. path, device, proposals: what `load_onnx` was given.
    """

    def __init__(
        self,
        session: "onnxruntime.InferenceSession",
        description: OnnxDescription,
        path: Path,
        device: torch.device | str | None,
        proposals: int | None = None,
    ):
        self.session = session
        self.description = description
        self.path, self.device, self.proposals = path.absolute(), device, proposals
        self.config = description.model if proposals is None else at_inference(description.model, proposals, str(path))
        self.multiple = description.multiple

    def __reduce__(self) -> tuple[Any, tuple[Path, torch.device | str | None, int | None]]:
        """Copies and pickles by reading the file again: a session of ONNX Runtime belongs to its process."""
        return load_onnx, (self.path, self.device, self.proposals)

    def detect(self, images: UInt8[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"]) -> Decoded:
        """Returns the ranked detections of each image, on the CPU: see `Detector.detect`.

        Raises InputError for a label of no class, which a file that was changed may give.
        """
        given = {name: tensor.cpu().numpy() for name, tensor in zip(INPUTS, (images, sizes), strict=True)}
        if self.config.any_proposals:
            given[PROPOSALS] = np.array([self.config.proposals])
        decoded = Decoded(*(torch.from_numpy(array) for array in self.session.run(OUTPUTS, given)))
        classes = len(self.description.categories)
        if not ((decoded.labels >= 0) & (decoded.labels < classes)).all():
            raise InputError(f"{self.path} finds objects of more classes than the {classes} it names; export it again.")
        return decoded


AnyDetector = Detector | OnnxDetector


def load_onnx(path: Path, device: torch.device | str | None = None, proposals: int | None = None) -> OnnxDetector:
    """Reads a file that `export_onnx` wrote. device: by default a GPU if ONNX Runtime can use one, else the CPU.

    proposals: another number than in training, for a model with dense queries; see `at_inference`.

    ONNX Runtime uses as many threads as torch. Raises InputError when ONNX Runtime is not installed or cannot use the
    device, and when the file does not exist, is damaged, or was not written by `uncrowd export`.
    """
    runtime = import_for_onnx("onnxruntime")
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file.")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers = _providers(runtime, device)
    try:
        session = runtime.InferenceSession(path, options, providers)
    except Exception as error:  # its dozen classes of errors have no common base
        raise InputError(f"{path} is not an ONNX file that ONNX Runtime can run, or is damaged ({error}).") from error
    if len(session.get_providers()) < len(providers):  # it only warns when it cannot start one
        raise InputError(
            "ONNX Runtime cannot use the GPU here: a library (CUDA, cuDNN) of the version it was built for is missing; "
            f"its warning above names it. Give 'cpu' as device to run {path} without a GPU."
        )
    return OnnxDetector(session, _description(session, path), path, device, proposals)


def import_for_onnx(name: str) -> Any:
    """Imports a module that only ONNX files need. Raises InputError when it is not installed."""
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
        f"There is no device {wanted!r} for ONNX Runtime here; give 'cpu' or none. 'cuda' needs a GPU and the package "
        "onnxruntime-gpu instead of onnxruntime."
    )


def _description(session: "onnxruntime.InferenceSession", path: Path) -> OnnxDescription:
    metadata = session.get_modelmeta().custom_metadata_map
    if METADATA not in metadata:
        raise InputError(
            f"{path} is an ONNX file without uncrowd's description of a detector; give one that `uncrowd export` wrote."
        )
    try:
        values = config.read_json(metadata[METADATA])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} has a damaged description of its detector ({error}); export it again.") from error
    description = config.from_dict(OnnxDescription, values, f"the metadata of {path}")
    require_classes(description.model, description.categories, str(path), description.thresholds)
    graph = [[value.name for value in values] for values in (session.get_inputs(), session.get_outputs())]
    inputs = [*INPUTS, PROPOSALS] if description.model.any_proposals else [*INPUTS]
    if graph != [inputs, [*OUTPUTS]]:
        raise InputError(
            f"{path} has the description of a detector, but maps {', '.join(graph[0])} to {', '.join(graph[1])}; "
            "export it again."
        )
    return description
