"""A detector from an ONNX file, which ONNX Runtime runs instead of torch: what `uncrowd export` writes."""

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from uncrowd import config
from uncrowd.data.transforms import ResizeConfig
from uncrowd.errors import InputError, require_at_least
from uncrowd.models.build import AnyDetectorConfig
from uncrowd.models.detector import Detector
from uncrowd.structures import Categories, Decoded
from uncrowd.weights.file import require_classes

if TYPE_CHECKING:
    import onnxruntime

INPUTS, OUTPUTS = ("images", "sizes"), Decoded._fields
METADATA = "uncrowd.detector"  # the key in the file's metadata
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@dataclass(frozen=True, kw_only=True)
class OnnxDescription:
    """What the file says of itself, so that it can be deployed alone: JSON among its metadata."""

    model: AnyDetectorConfig
    categories: Categories
    # What size images are brought to before.
    preprocessing: ResizeConfig
    # See `Detector.multiple`.
    multiple: int

    def __post_init__(self) -> None:
        """Raises InputError for a multiple that no side can be padded to."""
        require_at_least(1, multiple=self.multiple)


class OnnxDetector:
    """Detects as the `Detector` it was made of; what happens in between cannot be asked for.

    multiple, config: see `Detector`.
    """

    def __init__(self, session: "onnxruntime.InferenceSession", description: OnnxDescription):
        self.session = session
        self.description = description
        self.config = description.model
        self.multiple = description.multiple

    def detect(self, images: UInt8[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"]) -> Decoded:
        """Returns the ranked detections of each image, on the CPU: see `Detector.detect`."""
        given = {name: tensor.cpu().numpy() for name, tensor in zip(INPUTS, (images, sizes), strict=True)}
        return Decoded(*(torch.from_numpy(array) for array in self.session.run(OUTPUTS, given)))


AnyDetector = Detector | OnnxDetector


def load_onnx(path: Path, device: torch.device | str | None = None) -> OnnxDetector:
    """Reads what `export_onnx` wrote. device: by default the GPU where ONNX Runtime can use one.

    ONNX Runtime gets as many threads as torch has. Raises InputError when ONNX Runtime is not installed or cannot use
    the device, and when the file does not exist, is damaged, or was not written by `uncrowd export`.
    """
    runtime = import_for_onnx("onnxruntime")
    if not path.is_file():
        raise InputError(f"{path} does not exist or is no file.")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers = _providers(runtime, device)
    try:
        session = runtime.InferenceSession(path, options, providers)
    except Exception as error:  # it has a dozen classes of them, with no base of their own
        raise InputError(f"{path} is no ONNX file that ONNX Runtime can run, or a damaged one ({error}).") from error
    if len(session.get_providers()) < len(providers):  # it only warns of those that it cannot start
        raise InputError(
            "ONNX Runtime cannot use the GPU here: a library (CUDA, cuDNN) of the version it was built for is missing, "
            f"which it names above. Give 'cpu' as device to run {path} without."
        )
    return OnnxDetector(session, _description(session, path))


def import_for_onnx(name: str) -> Any:
    """Imports a module that is only needed for ONNX. Raises InputError, in a sentence, where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(f"{error}, which ONNX files need: pip install 'uncrowd[onnx]'.") from error


def _providers(runtime: Any, device: torch.device | str | None) -> list[Any]:
    """What ONNX Runtime is to run on, best first."""
    on_gpu = CUDA in runtime.get_available_providers() and torch.cuda.is_available()
    wanted = str(device or ("cuda" if on_gpu else "cpu"))
    kind, _, index = wanted.partition(":")
    if kind == "cpu":
        return [CPU]
    if kind == "cuda" and on_gpu:
        # in fp32 as on a CPU: TF32, its default there, keeps 10 bits of 23
        return [(CUDA, {"device_id": index or "0", "use_tf32": "0"}), CPU]
    raise InputError(
        f"There is no device {wanted!r} for ONNX Runtime here; give 'cpu' or none. For 'cuda' it takes a GPU, and "
        "onnxruntime-gpu in the place of onnxruntime."
    )


def _description(session: "onnxruntime.InferenceSession", path: Path) -> OnnxDescription:
    metadata = session.get_modelmeta().custom_metadata_map
    if METADATA not in metadata:
        raise InputError(
            f"{path} is an ONNX file without uncrowd's description of a detector; give one that `uncrowd export` wrote."
        )
    try:
        values = json.loads(metadata[METADATA])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} has a damaged description of its detector ({error}); export it again.") from error
    description = config.from_dict(OnnxDescription, values, f"the metadata of {path}")
    require_classes(description.model, description.categories, str(path))
    graph = [[value.name for value in values] for values in (session.get_inputs(), session.get_outputs())]
    if graph != [[*INPUTS], [*OUTPUTS]]:
        raise InputError(
            f"{path} has the description of a detector, but maps {', '.join(graph[0])} to {', '.join(graph[1])}; "
            "export it again."
        )
    return description
