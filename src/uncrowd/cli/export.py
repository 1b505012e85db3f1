"""`uncrowd export WEIGHTS DST`: writes a trained detector for ONNX Runtime, OpenVINO or a browser, or as weights."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import isinf
from pathlib import Path
from shlex import quote
from typing import Annotated

from tyro.conf import Positional, arg

from uncrowd.browser.page import export_page
from uncrowd.cli.flags import OptionalClasses, OptionalPath, OptionalReal, parse
from uncrowd.cli.method import OptionalSplit, choose_classes, choose_split, held_out_of
from uncrowd.data.classes import keep_classes
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.layout import find_layout
from uncrowd.data.formats.open import open_split
from uncrowd.errors import InputError
from uncrowd.inference.export import OPSET
from uncrowd.inference.export_check import SHARE, Checked
from uncrowd.inference.export_file import export
from uncrowd.inference.export_weights import export_weights
from uncrowd.inference.formats import FORMATS
from uncrowd.inference.int8 import IMAGES
from uncrowd.inference.int8_check import Compared
from uncrowd.overwriting import refuse_overwriting
from uncrowd.weights.file import file_of, in_half_precision


@dataclass(frozen=True, kw_only=True)
class ExportArguments:
    """Write a trained detector as a file that runs without torch, with ONNX Runtime or OpenVINO, and check it.

    A file that ends in .safetensors is a weights file instead, smaller or with other settings, for uncrowd.

    The inputs of the others are `images` (batch, 3, height, width), RGB as uint8, resized and then padded to one size,
    and `sizes` (batch, 2), the height and width of each image before padding; a model with dense queries also takes
    `proposals` (1), their number. Any batch, height and width are allowed. The outputs are `boxes` (xyxy in pixels of
    `images`), `scores` and `labels`, best first. The metadata hold classes and preprocessing as JSON.
    """

    # Weights (.safetensors), the folder of a run or the name of a detector that comes with uncrowd; with --page also an
    # ONNX file that `uncrowd export` wrote.
    source: Annotated[Positional[Path], arg(metavar="WEIGHTS")]
    # The file to write: .onnx for ONNX Runtime, .xml for OpenVINO, whose weights are then in a .bin beside it, or for
    # uncrowd .safetensors; leave it out with --page.
    destination: Annotated[Positional[Path | None], arg(metavar="[DST]", help_behavior_hint="")] = None
    # A new folder instead: its page opens by double-click and detects in a browser, without a network. It needs ONNX
    # Runtime Web, which npm gets.
    page: Annotated[OptionalPath, arg(metavar="FOLDER", help_behavior_hint="")] = None
    # The file of ONNX Runtime Web where there is no npm; `npm pack onnxruntime-web@1.30.0` downloads it elsewhere.
    runtime: OptionalPath = None
    # Replace a file that is there already.
    overwrite: bool = False
    # Version of ONNX's operators, 18 to 23; an older program may need an older one.
    opset: int = OPSET
    # Half precision: store and compute in fp16 all but boxes, scores and attention. The file is about half as large; it
    # is meant for GPUs, and slower on most CPUs. A weights file stores all weights in fp16 and computes in fp32.
    half: bool = False
    # Quantize convolutions and linear layers to int8, which is faster on CPUs with VNNI, and print what that costs in
    # accuracy.
    int8: bool = False
    # With a weights file, lower the scores of duplicates, like `uncrowd predict --lower-duplicates`, whenever it is
    # used. Score thresholds for them need --data.
    lower_duplicates: OptionalReal = None
    # With --int8, the dataset whose images it is calibrated with and scored on; with a weights file, the dataset on
    # which score thresholds are chosen.
    data: OptionalPath = None
    # Split of the dataset; by default the validation split, or the only split.
    split: OptionalSplit = None
    # Classes of the dataset to keep, as in `uncrowd eval --classes`; by default those of the run.
    classes: OptionalClasses = ()
    # With --int8, the number of images, the first of the split, to calibrate with.
    images: int = IMAGES


def main(argv: Sequence[str]) -> int:
    """Writes the file and prints how much its detections differ from those of torch, or writes the page."""
    arguments = parse(ExportArguments, argv, "uncrowd export")
    match arguments.destination, arguments.page:
        case Path() as destination, None if destination.suffix.lower() not in (*FORMATS, ".safetensors"):
            raise InputError(f"{destination} is no name for a detector; end its name in .onnx, .xml or .safetensors.")
        case Path() as destination, None if destination.suffix.lower() == ".safetensors":
            _refuse_unused(
                arguments, "a weights file", "overwrite", "half", "lower_duplicates", "data", "split", "classes"
            )
            _write_weights(arguments, destination)
        case Path() as destination, None:
            used = ("overwrite", "opset", "half", "int8", "data", "split", "classes", "images")
            _refuse_unused(arguments, "an .onnx or .xml file", *used)
            if not arguments.int8:
                _refuse_unused(arguments, "an .onnx or .xml file without --int8", "overwrite", "opset", "half")
            _write_file(arguments, destination)
        case None, Path() as folder:
            _refuse_unused(arguments, "a page", "runtime")
            index = export_page(arguments.source, folder, runtime=arguments.runtime, say=_say)
            print(f"open {index} in a browser")
        case _:
            raise InputError("Give either the file to write, DST, or a folder for a page, --page FOLDER.")
    return 0


def _refuse_unused(arguments: ExportArguments, what: str, *used: str) -> None:
    """Raises InputError for the first flag that is given and not used. what: what is written."""
    for field in fields(arguments):
        unused = field.name not in ("source", "destination", "page", *used)
        if unused and getattr(arguments, field.name) != field.default:
            mend = "leave it out"
            if field.name == "lower_duplicates":
                mend = "first export WEIGHTS to a .safetensors with it, and then that file"
            raise InputError(f"--{field.name.replace('_', '-')} has no effect on {what}; {mend}.")


def _refuse_overwriting(arguments: ExportArguments, destination: Path) -> None:
    """Raises InputError where a file would be replaced that is the source, or that is there, without --overwrite."""
    files = [destination, *([destination.with_suffix(".bin")] if destination.suffix.lower() == ".xml" else [])]
    replace = arguments.overwrite or destination.is_dir()  # which is refused with a reason of its own
    refuse_overwriting(files, [file_of(arguments.source)], replace=replace)


def _write_weights(arguments: ExportArguments, destination: Path) -> None:
    _refuse_overwriting(arguments, destination)
    thresholds = export_weights(
        arguments.source,
        destination,
        half=arguments.half,
        lower_duplicates=arguments.lower_duplicates,
        dataset=_dataset(arguments, unlearned=True),
    )
    print(f"written to {destination}, {destination.stat().st_size / 1e6:.1f} MB")
    if arguments.half and in_half_precision(file_of(arguments.source)):
        print(f"{arguments.source} was in half precision already")
    if thresholds is None:
        print("it has no score thresholds; --data DATA chooses them")
    else:
        print(f"score thresholds: {thresholds.in_words()}")


def _write_file(arguments: ExportArguments, destination: Path) -> None:
    _refuse_overwriting(arguments, destination)
    if arguments.int8 and arguments.data is None:
        raise InputError("--int8 needs images to calibrate with; give a dataset with --data.")
    exported = export(
        arguments.source,
        destination,
        opset=arguments.opset,
        half=arguments.half,
        int8=_dataset(arguments, unlearned=False),
        images=arguments.images,
        say=_say,
    )
    files = [destination, destination.with_suffix(".bin")] if destination.suffix.lower() == ".xml" else [destination]
    print(f"written to {destination}, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB")
    _print_differences(exported.checked, "OpenVINO" if len(files) == 2 else "ONNX Runtime", half=arguments.half)
    if exported.int8 is not None:
        _print_int8(exported.int8)
    print("use it like the weights:")
    print(f"  uncrowd predict {quote(str(destination))} IMAGES")
    print(f"  uncrowd eval {quote(str(destination))} --data DATA")


def _say(sentence: str) -> None:
    print(sentence, flush=True)


def _dataset(arguments: ExportArguments, *, unlearned: bool) -> DetectionDataset | None:
    """Opens the dataset, if there is one; unlearned: without the images that the detector's run has learned from."""
    if arguments.data is None:
        for flag, given in (("--split", arguments.split is not None), ("--classes", bool(arguments.classes))):
            if given:
                raise InputError(f"{flag} is for a dataset; give it with --data, or leave {flag} out.")
        return None
    layout = find_layout(arguments.data)
    dataset = open_split(layout, choose_split(layout, arguments.split))
    classes = choose_classes(arguments.classes, arguments.source)
    dataset = dataset if classes is None else keep_classes(dataset, classes)
    return held_out_of(dataset, layout, arguments.split, [arguments.source]) if unlearned else dataset


def _print_differences(checked: Checked, runtime: str, *, half: bool) -> None:
    print(f"checked on {checked.images} synthetic images against the model in double precision:")
    for name, apart in ((runtime, checked.exported), ("torch, bf16" if half else "torch", checked.torch)):
        most = f"all within {apart.most_pixels:.2g} and {apart.most_score:.1g}"
        if isinf(apart.most_pixels):
            most = "some are missing or have another class"
        print(f"  {name:<12} {SHARE:.0%} of detections within {apart.pixels:.2g} pixels and {apart.score:.1g}, {most}")


def _print_int8(compared: Compared) -> None:
    before, after = compared.scores
    print(f"scored on {compared.images} images, and timed on them in turns, one image at a time:")
    for name, scores, seconds in zip(("fp32", "int8"), compared.scores, compared.seconds, strict=True):
        score = "-" if scores.main is None else f"{scores.main:.1%}"
        print(f"  {name:<12} {scores.headline} {score}, {seconds * 1000:.1f} ms an image")
    cost = "" if before.main is None or after.main is None else f"{100 * (after.main - before.main):+.1f} points, "
    print(f"  {'int8':<12} {cost}{compared.faster:.2f} times as fast")
