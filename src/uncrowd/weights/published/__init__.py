"""Other people's checkpoints, renamed into ours: one file a naming, and here the choice among them."""

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
    """A model that someone else trained; `naming`, `class_names` and `notes` as in `pth.Renamed`."""

    model: Detector
    naming: str
    class_names: tuple[str, ...] | None
    notes: list[str]


def read_published(path: Path) -> Published:
    """Returns the model a published `.pth` holds, with every tensor of the file used exactly once or named in a note.

    The file is read with `weights_only`, so it cannot run code. Raises InputError when it is no such checkpoint, or
    lists what does not fit.
    """
    file = read_pth(path)
    for naming in (detectron2, mmdetection, detr):  # another naming is another file here, with these two functions
        if naming.recognises(file.tensors):
            renamed = _rename(naming.rename_file, file)
            model = build_detector(renamed.config)
            load_exactly(model, renamed.tensors, file.source)
            return Published(model, renamed.naming, renamed.class_names, renamed.notes)
    raise InputError(
        f"{path} holds {len(file.tensors)} tensors ({', '.join(list(file.tensors)[:3])}, ...) but no detector known "
        "here; give a Sparse R-CNN of Detectron2 or mmdetection, the authors' release, or a DETR."
    )


def _rename(rename_file: Callable[[PthFile], Renamed], file: PthFile) -> Renamed:
    try:
        return rename_file(file)
    except (ArithmeticError, AssertionError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, InputError) and file.source in str(error):
            raise
        raise InputError(  # shapes, names and settings are the file's, and may be anything
            f"{file.source} has tensors or settings that no such detector has ({str(error).rstrip('.')}); give the "
            ".pth as its author published it."
        ) from error
