"""End-to-end object detection for crowded images."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uncrowd.errors import InputError as InputError
    from uncrowd.freed_memory import keep_freed_memory as keep_freed_memory
    from uncrowd.inference.predictor import Predictor as Predictor
    from uncrowd.inference.predictor import load as load
    from uncrowd.inference.tta import TTAConfig as TTAConfig
    from uncrowd.structures import Categories as Categories
    from uncrowd.structures import Detections as Detections

__version__ = version("uncrowd")

# public name -> where it lives; imported at first use, so that `uncrowd --help` does not wait for torch
_PUBLIC = {
    "InputError": "uncrowd.errors",
    "keep_freed_memory": "uncrowd.freed_memory",
    "Predictor": "uncrowd.inference.predictor",
    "load": "uncrowd.inference.predictor",
    "TTAConfig": "uncrowd.inference.tta",
    "Categories": "uncrowd.structures",
    "Detections": "uncrowd.structures",
}

__all__ = [*_PUBLIC, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]


def __dir__() -> list[str]:
    """Lists the public names, imported or not."""
    return __all__


def __getattr__(name: str) -> object:
    """Imports a public name when it is first asked for (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'uncrowd' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
