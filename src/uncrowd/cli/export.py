"""`uncrowd export WEIGHTS DST`: writes a trained detector as ONNX, checked against torch, or as a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isinf
from pathlib import Path
from shlex import quote
from typing import Annotated

from tyro.conf import Positional, arg

from uncrowd.browser.page import export_page
from uncrowd.cli.flags import OptionalPath, parse
from uncrowd.errors import InputError
from uncrowd.inference.export import export
from uncrowd.inference.export_check import SHARE, Checked


@dataclass(frozen=True, kw_only=True)
class ExportArguments:
    """Write a trained detector as one ONNX file, which runs without torch, and check it against torch.

    Its inputs are `images` (batch, 3, height, width), RGB as uint8, resized and then padded to one size, and `sizes`
    (batch, 2), the height and width of each image before padding; a model with dense queries also takes `proposals`
    (1), their number. Any batch, height and width are allowed. Its outputs are `boxes` (xyxy in pixels of `images`),
    `scores` and `labels`, best first. Its metadata hold classes and preprocessing as JSON.
    """

    # Weights (.safetensors) or the folder of a run; with --page also an ONNX file that `uncrowd export` wrote.
    source: Annotated[Positional[Path], arg(metavar="WEIGHTS")]
    # The ONNX file to write (.onnx); leave it out with --page.
    destination: Annotated[Positional[Path | None], arg(metavar="[DST]", help_behavior_hint="")] = None
    # A new folder instead: its page opens by double-click and detects in a browser, without a network. It needs ONNX
    # Runtime Web, which npm gets.
    page: Annotated[OptionalPath, arg(metavar="FOLDER", help_behavior_hint="")] = None
    # The file of ONNX Runtime Web where there is no npm; `npm pack onnxruntime-web@1.30.0` downloads it elsewhere.
    runtime: OptionalPath = None


def main(argv: Sequence[str]) -> int:
    """Writes the file and prints how much its detections differ from those of torch, or writes the page."""
    arguments = parse(ExportArguments, argv, "uncrowd export")
    match arguments.destination, arguments.page:
        case Path() as destination, None:
            _write_onnx(arguments.source, destination)
        case None, Path() as folder:
            index = export_page(arguments.source, folder, runtime=arguments.runtime, say=_say)
            print(f"open {index} in a browser")
        case _:
            raise InputError("Give either the ONNX file to write, DST, or a folder for a page, --page FOLDER.")
    return 0


def _write_onnx(source: Path, destination: Path) -> None:
    checked = export(source, destination, say=_say)
    print(f"written to {destination}, {destination.stat().st_size / 1e6:.1f} MB")
    _print_differences(checked)
    print("use it like the weights:")
    print(f"  uncrowd predict {quote(str(destination))} IMAGES")
    print(f"  uncrowd eval {quote(str(destination))} --data DATA")


def _say(sentence: str) -> None:
    print(sentence, flush=True)


def _print_differences(checked: Checked) -> None:
    print(f"checked on {checked.images} synthetic images against the model in double precision:")
    for name, apart in (("ONNX Runtime", checked.exported), ("torch", checked.torch)):
        most = f"all within {apart.most_pixels:.2g} and {apart.most_score:.1g}"
        if isinf(apart.most_pixels):
            most = "some are missing or have another class"
        print(f"  {name:<12} {SHARE:.0%} of detections within {apart.pixels:.2g} pixels and {apart.score:.1g}, {most}")
