"""Reads checkpoints of other projects. There is one module for each naming of tensors; this one chooses among them."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from uncrowd.errors import InputError
from uncrowd.models.build import build_detector
from uncrowd.models.detector import Detector
from uncrowd.weights.file import load_exactly
from uncrowd.weights.published import detectron2, detr, mmdetection
from uncrowd.weights.published.pth import PthFile, Renamed, read_pth


class Published(NamedTuple):
    """A model that another project trained. For `naming`, `class_names` and `notes` see `pth.Renamed`."""

    model: Detector
    naming: str
    class_names: tuple[str, ...] | None
    notes: list[str]


def read_published(path: Path) -> Published:
    """Returns the model in a published `.pth`. Every tensor of the file is used exactly once, or a note names it.

    The file is read with `weights_only`, so it cannot run code. Raises InputError when the file is not a checkpoint of
    a detector known here, and with a list of the tensors that do not fit the model.
    """
    file = read_pth(path)
    for naming in (detectron2, mmdetection, detr):  # to add a naming, add a module with these two functions
        if naming.recognises(file.tensors):
            renamed = _rename(naming.rename_file, file)
            model = build_detector(renamed.config)
            load_exactly(model, renamed.tensors, file.source)
            return Published(model, renamed.naming, renamed.class_names, renamed.notes)
    raise InputError(
        f"{path} holds {len(file.tensors)} tensors ({', '.join(list(file.tensors)[:3])}, ...) but no detector known "
        "here; give a Sparse R-CNN of Detectron2, of mmdetection or of the authors' release, or a DETR."
    )


def _rename(rename_file: Callable[[PthFile], Renamed], file: PthFile) -> Renamed:
    try:
        return rename_file(file)
    except (ArithmeticError, AssertionError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, InputError) and file.source in str(error):
            raise
        raise InputError(  # the file may hold any shapes, names and settings
            f"{file.source} has tensors or settings that no such detector has ({str(error).rstrip('.')}); give the "
            ".pth as its author published it."
        ) from error
