"""The packages that come with an extra of `pip install 'uncrowd[EXTRA]'`, and the error if one is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from uncrowd.errors import InputError

EXTRA_OF = {
    "accelerate": "train",
    "psutil": "train",
    "tensorboard": "train",
    "huggingface_hub": "hub",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "trackio": "trackio",
    "jinja2": "report",
    "matplotlib": "report",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "datasets": "huggingface",
    "openvino": "openvino",
    "pandas": "pandas",
    "supervision": "supervision",
    "imagecodecs": "tiff",
    "tifffile": "tiff",
    "av": "video",
    "trackers": "video",
}


@contextmanager
def extras_of(what: str) -> Iterator[None]:
    """Raises InputError, which names the extra to install, if the code inside imports a package that is missing.

    what: what needs the package; it begins the sentence. Any other missing module is a defect, and its error passes.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_OF:
            raise
        raise InputError(
            f"{what} needs {package}, which is not installed; pip install 'uncrowd[{EXTRA_OF[package]}]'."
        ) from error
