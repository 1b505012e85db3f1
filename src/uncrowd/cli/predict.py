"""`uncrowd predict WEIGHTS IMAGE...`: writes annotated images and JSON."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from itertools import count
from os.path import realpath
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tyro.conf import Positional, arg

from uncrowd.cli.flags import OptionalDevice, OptionalNumber, OptionalPath, parse, require_device
from uncrowd.cli.image_arguments import annotated_names, named_images
from uncrowd.cli.progress import progress_bar
from uncrowd.cli.tiles import read_tiles
from uncrowd.data.images.read import ImageContent, read_content, read_tiff_rows
from uncrowd.data.images.tiff_rows import TiffRows
from uncrowd.errors import InputError, require_at_least, require_threshold
from uncrowd.inference.predictor import load
from uncrowd.inference.tta import TTAConfig
from uncrowd.runs.folder import locked
from uncrowd.structures import Detections
from uncrowd.visualize.draw import draw_detections
from uncrowd.words import counted, one_line

# Results go into the first free number of this folder unless the user names one.
NUMBERED = Path("runs") / "predict"


@dataclass(frozen=True, kw_only=True)
class PredictArguments:
    """Detect objects in images: writes each image with its boxes, and all detections to one JSON file.

    Images that cannot be read, and pages after the first of a file, are reported and left out, and the exit status is
    then 2.
    """

    # Weights (.safetensors), the folder of a run, or an exported detector (.onnx).
    weights: Annotated[Positional[Path], arg(metavar="WEIGHTS")]
    # Image files or folders; folders are searched with their subfolders.
    images: Annotated[Positional[tuple[Path, ...]], arg(metavar="IMAGE [IMAGE ...]", help_behavior_hint="")] = ()
    # Folder for the annotated images and detections.json. By default the first free runs/predict/NUMBER.
    out: OptionalPath = None
    # Replace the results that --out holds already.
    overwrite: bool = False
    # Report only detections with at least this score, between 0 and 1.
    threshold: float = 0.3
    # Write only detections.json, not the annotated images.
    json_only: bool = False
    # Test-time augmentation: detect in each image at 13 sizes, each also flipped, as in Table 7 of the paper. This
    # takes about 40 times as long.
    tta: bool = False
    # Compute in bfloat16. This is faster on a GPU and on a CPU with instructions for it, and changes results slightly.
    bf16: bool = False
    # Compile the model (torch.compile). This pays for many images of one size: each size is compiled once, in about
    # half a minute on a GPU and some minutes on a CPU.
    compile: bool = False
    # Number of detections an image, for a model with dense queries; by default that of its training.
    proposals: OptionalNumber = None
    # Number of images (with --tiles, of tiles) in a batch; it changes speed and memory, and in fp32 the last bits of
    # results.
    batch_size: int = 4
    # Cut each image into square tiles of this many pixels, detect in each, and merge what is found.
    tiles: OptionalNumber = None
    # Pixels that neighbouring tiles share, by default a fifth of --tiles: an object up to this wide and high is whole
    # in some tile.
    overlap: OptionalNumber = None
    # Width times height up to which an image is decoded; larger ones are left out. By default 178,956,970, with --tiles
    # 1,000,000,000.
    max_pixels: OptionalNumber = None
    # Device to compute on; by default a GPU if there is one, else the CPU.
    device: OptionalDevice = None


def main(argv: Sequence[str]) -> int:
    """Detects in one batch after another. Returns 2 if some images could not be read, else 0."""
    arguments = parse(PredictArguments, argv, "uncrowd predict")
    require_threshold(arguments.threshold, "--threshold")
    require_at_least(1, **{"--batch-size": arguments.batch_size})
    tiles = read_tiles(arguments.tiles, arguments.overlap, arguments.max_pixels)
    require_device(arguments.device)
    files = named_images(arguments.images, {NUMBERED, arguments.out or NUMBERED})
    names = None if arguments.json_only else annotated_names(files, arguments.images)
    if arguments.out is not None:
        written = ["detections.json", *(names or {}).values()]
        _refuse_overwriting(files, [arguments.out / name for name in written], told=arguments.overwrite)
    predictor = load(
        arguments.weights,
        arguments.device,
        TTAConfig() if arguments.tta else None,
        bf16=arguments.bf16,
        compiled=arguments.compile,
        max_pixels=arguments.max_pixels,
        proposals=arguments.proposals,
        tiles=tiles,
    )
    in_rows = arguments.json_only and tiles is not None
    step = 1 if in_rows else arguments.batch_size  # such a file proves damaged only while it is detected in
    read = objects = pages = 0
    try:
        out = _make_folder(arguments.out)
        with locked(out), json_list(out / "detections.json") as write, progress_bar("detecting") as on_batch:
            for start in range(0, len(files), step):
                images = _read(files[start : start + step], predictor.max_pixels, in_rows=in_rows)
                given = [image if isinstance(image, TiffRows) else image.pixels for image in images.values()]
                try:
                    found = predictor.predict(given, arguments.threshold, arguments.batch_size)
                except InputError as error:
                    if not in_rows:
                        raise
                    print(f"left out: {error}", file=sys.stderr)
                    images, found = {}, []
                for (file, image), detections in zip(images.items(), found, strict=True):
                    for note in image.notes():
                        print(one_line(f"note: {file}: {note}"), file=sys.stderr)
                    if names is not None and isinstance(image, ImageContent):
                        _draw(image.pixels, detections, out / names[file])
                    write(_record(file, detections) | ({} if names is None else {"annotated": str(names[file])}))
                    read, objects, pages = read + 1, objects + len(detections), pages + image.pages
                on_batch(start + step, len(files))
    except OSError as error:  # from writing, because reading raises InputError
        reason = error.strerror or error
        where = arguments.out or NUMBERED
        raise InputError(f"{where} cannot be written ({reason}); name another folder with --out.") from error
    left_out = f", {len(files) - read} left out" if read < len(files) else ""
    print(
        f"{objects} objects with a score of {arguments.threshold:g} or more in {counted(read, 'image')}{left_out}; "
        f"written to {out}"
    )
    return 0 if read == pages == len(files) else 2


@contextmanager
def json_list(path: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yields a function that appends a record to the JSON list in `path`. The list is valid JSON after an interruption.

    An older file is replaced with the first record, or at the end if there was no record and no error.
    """
    file: FileIO | None = None
    end = 0  # of the last complete record

    def write(record: dict[str, Any]) -> None:
        nonlocal file, end
        file = file or FileIO(path, "w")
        _write_all(file, (",\n" if end else "[\n") + json.dumps(record))
        end = file.tell()

    try:
        yield write
    finally:
        if file is not None:
            with file:
                file.seek(end)  # a signal or a full disk may have cut off a record
                file.truncate()
                _write_all(file, "\n]\n" if end else "[]\n")
    if file is None:
        path.write_text("[]\n", encoding="utf-8")


def _make_folder(out: Path | None) -> Path:
    """Makes the folder for the results; of two calls at once, only one gets a number."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        return out
    for number in count(1):
        with suppress(FileExistsError):
            (NUMBERED / str(number)).mkdir(parents=True)
            return NUMBERED / str(number)
    raise AssertionError("numbers never end")


def _write_all(file: FileIO, text: str) -> None:
    rest = text.encode()
    while rest:
        rest = rest[file.write(rest) :]


def _refuse_overwriting(files: Sequence[Path], targets: Sequence[Path], *, told: bool) -> None:
    originals = set(map(realpath, files))  # unlike Path.resolve, it takes links that lead to themselves
    for target in targets:
        if realpath(target) in originals:
            raise InputError(f"{target} is one of the images and would be overwritten; name another folder with --out.")
        if target.exists() and not told:
            raise InputError(
                f"{target} exists already; name another folder with --out, or replace it with --overwrite."
            )


def _read(files: Sequence[Path], max_pixels: int, *, in_rows: bool) -> dict[Path, ImageContent | TiffRows]:
    """Returns the images that can be read, with `in_rows` some not decoded yet; reports the others."""
    images = {}
    for file in files:
        try:
            rows = read_tiff_rows(file, max_pixels=max_pixels) if in_rows else None
            images[file] = rows or read_content(file, max_pixels=max_pixels)
        except InputError as error:
            print(f"left out: {error}", file=sys.stderr)
    return images


def _record(file: Path, detections: Detections) -> dict[str, Any]:
    rows = zip(
        detections.names, detections.labels.tolist(), detections.scores.tolist(), detections.boxes.tolist(), strict=True
    )
    ids = detections.categories.ids
    return {
        "image": str(file),
        "detections": [
            {
                "class": name,
                "category_id": ids[label],
                "score": round(score, 4),
                "box_xyxy": [round(value, 2) for value in box],
            }
            for name, label, score, box in rows
        ],
    }


def _draw(image: UInt8[np.ndarray, "h w 3"], detections: Detections, target: Path) -> None:
    annotated = draw_detections(image, detections.boxes, labels=detections.labels, captions=detections.captions)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(annotated).save(target, quality=92)
