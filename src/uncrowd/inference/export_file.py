"""From weights to a file for another program: ONNX or OpenVINO, in full or half precision or quantized."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from uncrowd.argument_types import checked_types
from uncrowd.data.dataset import DetectionDataset
from uncrowd.errors import InputError, require_whole
from uncrowd.inference.evaluate import require_annotated, require_known_classes
from uncrowd.inference.export import OPSET, OPSETS, require_packages, write_onnx
from uncrowd.inference.export_check import Checked, check
from uncrowd.inference.formats import FORMATS, load_exported
from uncrowd.inference.half import to_half
from uncrowd.inference.int8 import IMAGES, to_int8
from uncrowd.inference.int8_check import Compared, compare_with
from uncrowd.inference.onnx_detector import OnnxDetector
from uncrowd.inference.openvino_detector import import_openvino, to_openvino
from uncrowd.models.cost import number_of_parameters
from uncrowd.models.detector import Detector
from uncrowd.out_of_memory import explain_out_of_memory
from uncrowd.weights.destination import require_destination
from uncrowd.weights.file import load_weights
from uncrowd.whole_file import whole_file
from uncrowd.words import counted


class Exported(NamedTuple):
    """How far the detections of an exported file are from those of torch, and what quantization costs and gains.

    checked: of a quantized file, before it was quantized. int8: None unless the file is quantized.
    """

    checked: Checked
    int8: Compared | None = None


@checked_types(weights="a weights file or the folder of a run", destination="the name of an exported detector")
def export(
    weights: str | Path,
    destination: str | Path,
    *,
    opset: int = OPSET,
    half: bool = False,
    int8: DetectionDataset | None = None,
    images: int = IMAGES,
    say: Callable[[str], None] | None = None,
) -> Exported:
    """Writes a trained detector as a file for ONNX Runtime or OpenVINO, and returns how far it is from torch.

    weights: a weights file or a run's folder. destination: a file that ends in .onnx, or in .xml for OpenVINO, whose
    weights are then in a .bin beside it; `uncrowd.load` reads both. opset: the version of ONNX's operators. half: store
    and compute in fp16 all but boxes, scores and attention. int8: a dataset with ground truth; most layers are
    quantized for the values that they meet in its first `images` images, and the file is scored on all of it. say:
    receives a sentence before the work, which takes a minute or more.

    Raises InputError for another ending or opset, for `half` together with `int8`, when a file cannot be written or a
    package is missing; RuntimeError when the file finds other objects than the model; NonFiniteError when the weights
    are damaged; and as `load_weights` does.
    """
    source, destination = Path(weights), Path(destination)
    require_destination(destination, source, "an exported detector", *FORMATS)
    _require_usable(opset, half, int8, images)
    require_packages()
    if destination.suffix.lower() != ".onnx":
        import_openvino()
    model, categories, resize, thresholds = load_weights(source)
    if int8 is not None:
        require_known_classes(categories, int8, str(source))
    if say is not None:
        parameters = number_of_parameters(model)
        what = f"{parameters:,} parameters, {counted(len(categories), 'class')}"
        say(f"exporting {source}: {what}; that takes a minute or more")
    with (
        whole_file(destination) as file,
        tempfile.TemporaryDirectory() as folder,
        explain_out_of_memory(
            f"while exporting {source}", "end other programs, or export on a machine with more memory"
        ),
    ):
        destination.parent.mkdir(parents=True, exist_ok=True)
        file.touch()  # a file that cannot be written fails before the export, which takes minutes
        plain = Path(folder) / "plain.onnx"
        write_onnx(plain, model, categories, resize, thresholds, opset=opset)
        if half:
            to_half(plain)
        made, exported = _finish(plain, destination.suffix, model, int8, images, half=half)
        _put(made, file, destination)
    return exported


def _require_usable(opset: int, half: bool, int8: DetectionDataset | None, images: int) -> None:
    if opset not in OPSETS:
        raise InputError(f"opset is {opset}; give a whole number from {OPSETS.start} to {OPSETS.stop - 1}.")
    require_whole(1, images=images)
    if int8 is not None:
        if half:
            raise InputError("half and int8 exclude each other; choose one of them.")
        require_annotated(int8)


def _finish(
    plain: Path, ending: str, model: Detector, int8: DetectionDataset | None, images: int, *, half: bool
) -> tuple[Path, Exported]:
    """Returns the file in its format, quantized if there is a dataset, and what was found when it was checked."""
    made = _in_format(plain, ending)
    checked = check(load_exported(made, "cpu"), model, half=half)
    if int8 is None:
        return made, Exported(checked)
    quantized = plain.with_name("int8.onnx")
    to_int8(OnnxDetector.load(plain, "cpu"), quantized, int8, images)
    smaller = _in_format(quantized, ending)
    return smaller, Exported(checked, compare_with(load_exported(made, "cpu"), load_exported(smaller, "cpu"), int8))


def _in_format(onnx: Path, ending: str) -> Path:
    return onnx if ending.lower() == ".onnx" else to_openvino(onnx)


def _put(made: Path, file: Path, destination: Path) -> None:
    """Copies the file to where it will be moved from, and the weights of an OpenVINO file to their place."""
    shutil.copyfile(made, file)
    if made.suffix == ".xml":
        with whole_file(destination.with_suffix(".bin")) as weights:
            shutil.copyfile(made.with_suffix(".bin"), weights)
            destination.unlink(missing_ok=True)  # so that a kill leaves no graph beside weights of another one
