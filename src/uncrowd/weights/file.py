"""The weights file: safetensors with model configuration, categories, preprocessing and thresholds in its header.

A version of uncrowd reads the weights files of every released version before it, and refuses in one sentence a file
whose header holds what it does not know, as that of a later version may.
"""

import json
import math
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from uncrowd import config
from uncrowd.data.transforms import ResizeConfig
from uncrowd.errors import InputError
from uncrowd.models.build import AnyDetectorConfig, build_detector
from uncrowd.models.detector import Detector
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.structures import Categories
from uncrowd.thresholds import ScoreThresholds, of_each_class
from uncrowd.weights.packaged import located, offered
from uncrowd.weights.proposals import with_number
from uncrowd.whole_file import whole_file
from uncrowd.words import first, printable

HEADER = "uncrowd.weights"


class Weights(NamedTuple):
    """A model in evaluation mode, its categories, the size to which images are resized for it, and thresholds.

    thresholds: None where none were chosen on validation data.
    """

    model: Detector
    categories: Categories
    preprocessing: ResizeConfig
    thresholds: ScoreThresholds | None


@dataclass(frozen=True, kw_only=True)
class Description:
    """The contents of the header: what is needed to build the model and to use it."""

    model: AnyDetectorConfig
    categories: Categories
    preprocessing: ResizeConfig
    thresholds: ScoreThresholds | None = None  # earlier versions wrote none


def save_weights(
    path: Path,
    model: Detector,
    categories: Categories,
    preprocessing: ResizeConfig,
    thresholds: ScoreThresholds | None = None,
    *,
    half: bool = False,
) -> None:
    """Writes the model to one file, from which `load_weights` builds it again.

    half: store the weights in fp16; they are read as fp32. The new file replaces an older one only once it is complete.
    Raises InputError when the file cannot be written, and when the model was converted for inference.
    """
    assert isinstance(model.config, AnyDetectorConfig), model.config
    description = Description(
        model=_without_folder(model.config),
        categories=categories,
        preprocessing=preprocessing,
        thresholds=thresholds,
    )
    tensors = model.state_dict()
    _refuse_converted(path, tensors, model.config)
    if half:
        tensors = {name: each.half() if each.is_floating_point() else each for name, each in tensors.items()}
    write_safetensors(path, tensors, {HEADER: json.dumps(config.to_dict(description))})


def _without_folder(model: AnyDetectorConfig) -> AnyDetectorConfig:
    """Returns the configuration with only the file's name of the pretrained backbone: the file is made to be shared."""
    source = model.backbone.pretrained
    if source is None:
        return model
    return replace(model, backbone=replace(model.backbone, pretrained=Path(source).name))


def _refuse_converted(path: Path, tensors: Mapping[str, Tensor], model: AnyDetectorConfig) -> None:
    """Raises InputError unless the tensors are those of the model as it is trained."""
    trained = _without_memory(model, path).state_dict()
    halves = any(tensor.dtype in (torch.float16, torch.bfloat16) for tensor in tensors.values())
    if halves or tensors.keys() != trained.keys():
        raise InputError(
            f"{path}: this model was converted for inference, so its weights can no longer be trained or saved; "
            "save the model that uncrowd.weights.file.load_weights returns."
        )


def load_weights(path: Path, proposals: int | None = None, lower_duplicates: float | None = None) -> Weights:
    """Reads a file that `save_weights` wrote; `path` may also be what `file_of` takes.

    proposals: another number than in training, for a model with dense queries; see `with_number`. lower_duplicates:
    another power than in training; see `SparseRCNNConfig`. The thresholds, chosen for other scores, are then None.
    Raises InputError when the file does not exist or was not written by `save_weights`, when its tensors do not fit its
    configuration or are not finite, and when the folder holds no finished run.
    """
    path = file_of(path)
    if path.suffix.lower() in (".onnx", ".xml") and path.is_file():
        raise InputError(
            f"{path} is an exported detector, which can only run inference; give the weights that it was exported from."
        )
    tensors, header = read_safetensors(path)
    if HEADER not in header:
        raise InputError(
            f"{path} holds tensors but not uncrowd's description of a model; give weights.safetensors or "
            "best.safetensors of a run, or convert a published checkpoint with `uncrowd import` first."
        )
    try:
        values = config.read_json(header[HEADER])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} has a damaged description of its model ({error}); save the model again.") from error
    description = config.from_dict(Description, values, f"the header of {path}")
    require_classes(description.model, description.categories, str(path), description.thresholds)
    as_trained = with_number(description.model, proposals, str(path))
    described = _with_lowering(as_trained, lower_duplicates, path)
    thresholds = description.thresholds if described == as_trained else None
    _require_fitting(_without_memory(described, path).state_dict(), tensors, str(path))
    model = build_detector(described)
    load_exactly(model, tensors, str(path))
    _require_finite(tensors, path)
    return Weights(model.eval(), description.categories, description.preprocessing, thresholds)


def _with_lowering(model: AnyDetectorConfig, power: float | None, path: Path) -> AnyDetectorConfig:
    """Returns the configuration with another power for duplicates; an infinite one lowers none.

    Raises InputError where there are none to lower.
    """
    if power is None:
        return model
    if not isinstance(model, SparseRCNNConfig):
        raise InputError(f"{path} is a {type(model).__name__}, whose duplicates are not lowered; leave that out.")
    return replace(model, lower_duplicates=None if math.isinf(power) else power)


def _without_memory(model: AnyDetectorConfig, path: Path) -> Detector:
    """Builds the model on the meta device. A damaged description may ask for more memory than there is."""
    try:
        with torch.device("meta"):
            return build_detector(model)
    except InputError:
        raise
    except Exception as error:  # torch has one of its own for each way in which a size is impossible
        raise InputError(f"{path} describes a model that cannot be built; save the model again.") from error


def require_classes(
    model: AnyDetectorConfig, categories: Categories, source: str, thresholds: ScoreThresholds | None = None
) -> None:
    """Raises InputError, naming `source`, unless every class of the model has a name and an id of its own.

    thresholds: if there are any, they must be for exactly these classes.
    """
    ids, names, outputs = categories.ids, categories.names, model.num_classes
    if not len(set(ids)) == len(ids) == len(names) == outputs:
        raise InputError(
            f"{source} has a damaged description of its model: {len(set(ids))} class ids and {len(names)} names for "
            f"{outputs} classes; save or export the model again."
        )
    unclear = [name for name, count in Counter(map(str.strip, names)).items() if not name or count > 1]
    unclear += [name for name in names if printable(name) != name]
    if unclear:
        raise InputError(
            f"{source} has class names that are blank, shared or hold control characters "
            f"({first(map(repr, unclear), 3)}); save or export the model again with a name of its own for each class."
        )
    if thresholds is not None:
        try:
            for threshold in (thresholds.f1, thresholds.count):
                of_each_class(threshold, names)
        except InputError as error:
            raise InputError(f"{source} has thresholds for other classes than its own: {error}") from error


def _require_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InputError(
                f"{path} holds numbers that are not finite, first in {name}; give weights that were saved before the "
                "training diverged."
            )


def file_of(path: Path) -> Path:
    """Returns the weights that a path stands for.

    Of a run's folder these are the final ones, of a name the detector that comes with uncrowd (see `located`). Any
    other path is returned as it is. Raises InputError when the folder holds no finished run.
    """
    path = located(path)
    return _of_run(path) if path.is_dir() else path


def _of_run(folder: Path) -> Path:
    last, best = folder / "weights.safetensors", folder / "best.safetensors"
    if last.is_file():
        return last
    hint = f"; {best} holds the best so far" if best.is_file() else ""
    runs = sorted(folder.glob("*/weights.safetensors"), key=lambda file: file.stat().st_mtime)
    if runs and not hint:
        hint = f"; {runs[-1].parent} is the run that was finished last"
    hint = hint or "; give weights or the folder of a finished run"
    raise InputError(f"{folder} holds no weights.safetensors: no run was finished there{hint}.")


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], header: dict[str, str]) -> None:
    """Writes a complete safetensors file or none at all, and creates missing folders.

    The tensors may be on any device and in any memory layout. Raises InputError when the file cannot be written.
    """
    with whole_file(path) as file:
        path.parent.mkdir(parents=True, exist_ok=True)
        # safetensors first writes to a file of random name. In a folder of its own, what a kill leaves is found again.
        scratch = path.with_name(f".{path.name}.saving")
        try:
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            host = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            file.touch()
            mode = file.stat().st_mode
            save_file(host, scratch / path.name, header)
            (scratch / path.name).chmod(mode)  # safetensors creates files that only their owner can read
            (scratch / path.name).replace(file)
        except safetensors.SafetensorError as error:  # it wraps the errors of the operating system
            raise OSError(str(error)) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Returns the tensors, on the CPU, and the header. Raises InputError when `path` is not a safetensors file."""
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file; give weights or the folder of a run{offered()}.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is not a safetensors file, or is damaged ({error}); give weights or copy them again."
        ) from error


def in_half_precision(path: Path) -> bool:
    """Whether a weights file stores its weights in fp16. Raises InputError when it is not a safetensors file."""
    return any(tensor.dtype == torch.float16 for tensor in read_safetensors(path)[0].values())


@torch.no_grad()
def load_exactly(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copies the tensors into the model; names, shapes and kinds of number must be exactly those of the model.

    Raises InputError with a table of the differences, so that no weight keeps its initial value unnoticed.
    """
    wanted = model.state_dict()
    _require_fitting(wanted, tensors, source)
    for name, tensor in tensors.items():
        wanted[name].copy_(tensor)


def _require_fitting(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: str) -> None:
    rows = [f"  {name}: only in the model, {tuple(t.shape)}" for name, t in wanted.items() if name not in tensors]
    rows += [f"  {name}: only in the file, {tuple(t.shape)}" for name, t in tensors.items() if name not in wanted]
    rows += [
        f"  {name}: {tuple(tensors[name].shape)} in the file, {tuple(tensor.shape)} in the model"
        for name, tensor in wanted.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    rows += [
        f"  {name}: {tensors[name].dtype} in the file, {tensor.dtype} in the model"
        for name, tensor in wanted.items()
        if name in tensors and tensors[name].is_floating_point() != tensor.is_floating_point()
    ]
    if rows:
        shown = rows[:20] + ([f"  ... and {len(rows) - 20} more"] if len(rows) > 20 else [])
        raise InputError(f"{source} does not fit the model in {len(rows)} tensors:", *shown)
