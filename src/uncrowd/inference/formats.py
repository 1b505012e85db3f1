"""The formats of exported detectors, by the ending of the file's name."""

from pathlib import Path

import torch

from uncrowd.inference.exported import ExportedDetector
from uncrowd.inference.onnx_detector import OnnxDetector
from uncrowd.inference.openvino_detector import OpenVinoDetector

FORMATS: dict[str, type[ExportedDetector]] = {".onnx": OnnxDetector, ".xml": OpenVinoDetector}


def is_exported(path: Path) -> bool:
    """Returns whether the name is that of an exported detector."""
    return path.suffix.lower() in FORMATS


def load_exported(
    path: Path, device: torch.device | str | None = None, proposals: int | None = None
) -> ExportedDetector:
    """Reads an exported detector: see `OnnxDetector.load` and `OpenVinoDetector.load`."""
    return FORMATS[path.suffix.lower()].load(path, device, proposals)
