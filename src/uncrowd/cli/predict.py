"""`uncrowd predict WEIGHTS IMAGE...`: writes annotated images and JSON."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any, TextIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tyro.conf import Positional, arg

from uncrowd.cli.flags import OptionalDevice, parse, require_device
from uncrowd.cli.progress import progress_bar
from uncrowd.data.image import read_image
from uncrowd.errors import InputError, require_at_least, require_threshold
from uncrowd.inference.predictor import load
from uncrowd.inference.tta import TTAConfig
from uncrowd.structures import Detections
from uncrowd.visualize.draw import draw_detections
from uncrowd.words import counted


@dataclass(frozen=True, kw_only=True)
class PredictArguments:
    """Detect objects in images: writes each image with its boxes, and all detections to one JSON file.

    Images that cannot be read are reported and left out, and the exit status is then 2.
    """

    # Weights (.safetensors), the folder of a run, or an exported detector (.onnx).
    weights: Annotated[Positional[Path], arg(metavar="WEIGHTS")]
    # Image files or folders; folders are searched with their subfolders.
    images: Annotated[Positional[tuple[Path, ...]], arg(metavar="IMAGE [IMAGE ...]", help_behavior_hint="")] = ()
    # Folder for the annotated images and detections.json.
    out: Path = Path("predictions")
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
    # Number of images in a batch; it changes only speed and memory.
    batch_size: int = 4
    # Device to compute on; by default a GPU if there is one, else the CPU.
    device: OptionalDevice = None


def main(argv: Sequence[str]) -> int:
    """Detects in one batch after another. Returns 2 if some images could not be read, else 0."""
    arguments = parse(PredictArguments, argv, "uncrowd predict")
    require_threshold(arguments.threshold, "--threshold")
    require_at_least(1, **{"--batch-size": arguments.batch_size})
    require_device(arguments.device)
    files = find_images(arguments.images, arguments.out)
    names = None if arguments.json_only else annotated_names(files, arguments.images)
    if names is not None:
        _refuse_overwriting(files, [arguments.out / name for name in names.values()])
    tta = TTAConfig() if arguments.tta else None
    predictor = load(arguments.weights, arguments.device, tta, bf16=arguments.bf16, compiled=arguments.compile)
    read = objects = 0
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
        with json_list(arguments.out / "detections.json") as write, progress_bar("detecting") as on_batch:
            for start in range(0, len(files), arguments.batch_size):
                images = _read(files[start : start + arguments.batch_size])
                found = predictor.predict(list(images.values()), arguments.threshold, arguments.batch_size)
                for (file, image), detections in zip(images.items(), found, strict=True):
                    if names is not None:
                        _draw(image, detections, arguments.out / names[file])
                    write(_record(file, detections) | ({} if names is None else {"annotated": str(names[file])}))
                    read, objects = read + 1, objects + len(detections)
                on_batch(start + arguments.batch_size, len(files))
    except OSError as error:  # from writing, because reading raises InputError
        reason = error.strerror or error
        raise InputError(f"{arguments.out} cannot be written ({reason}); name another folder with --out.") from error
    left_out = f", {len(files) - read} left out" if read < len(files) else ""
    print(
        f"{objects} objects with a score of {arguments.threshold:g} or more in {counted(read, 'image')}{left_out}; "
        f"written to {arguments.out}"
    )
    return 0 if read == len(files) else 2


def find_images(paths: Sequence[Path], out: Path) -> list[Path]:
    """Returns the given files and the image files in the given folders, sorted by name and without duplicates.

    Files in `out` are skipped when a given folder contains it: they are results of an earlier call. Raises InputError
    for a path that does not exist and for a folder without images.
    """
    if not paths:
        raise InputError("Name image files or folders after the weights.")
    files: list[Path] = []
    endings = {ending for ending, format in Image.registered_extensions().items() if format in Image.OPEN}
    for path in paths:
        if path.is_dir():
            own = {out.absolute()} if path.absolute() in out.absolute().parents else set()
            inside = [
                file
                for file in sorted(path.rglob("*"))
                if file.suffix.lower() in endings and file.is_file() and not own & {*file.absolute().parents}
            ]
            if not inside:
                raise InputError(f"{path} has no images in it; give image files or a folder of them.")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise InputError(f"{path} does not exist; give image files or a folder of them.")
    return list({file.absolute(): file for file in files}.values())


def annotated_names(files: Sequence[Path], given: Sequence[Path]) -> dict[Path, Path]:
    """Returns the path of each annotated image in the output folder: its path below the given folder, as .jpg.

    If images of two folders have the same path, the later one gets a number.
    """
    names: dict[Path, Path] = {}
    taken: set[str] = set()
    for file in files:
        folder = next((path for path in given if path.is_dir() and file.is_relative_to(path)), file.parent)
        plain = file.relative_to(folder).with_suffix(".jpg")
        numbered = (plain if n == 1 else plain.with_stem(f"{plain.stem}-{n}") for n in count(1))
        names[file] = next(name for name in numbered if str(name).casefold() not in taken)
        taken.add(str(names[file]).casefold())
    return names


@contextmanager
def json_list(path: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yields a function that appends a record to the JSON list in `path`. The list is valid JSON after an interruption.

    An older file is replaced with the first record, or at the end if there was no record and no error.
    """
    file: TextIO | None = None

    def write(record: dict[str, Any]) -> None:
        nonlocal file
        if file is None:
            file = path.open("w", encoding="utf-8")
            file.write("[\n")
        else:
            file.write(",\n")
        file.write(json.dumps(record))

    try:
        yield write
    finally:
        if file is not None:
            with file:
                file.write("\n]\n")
    if file is None:
        path.write_text("[]\n", encoding="utf-8")


def _refuse_overwriting(files: Sequence[Path], targets: Sequence[Path]) -> None:
    originals = {file.resolve() for file in files}
    for target in targets:
        if target.resolve() in originals:
            raise InputError(f"{target} is one of the images and would be overwritten; name another folder with --out.")


def _read(files: Sequence[Path]) -> dict[Path, UInt8[np.ndarray, "_h _w 3"]]:
    """Returns the pixels of the images that can be read; reports the others on standard error."""
    images = {}
    for file in files:
        try:
            images[file] = read_image(file)
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
